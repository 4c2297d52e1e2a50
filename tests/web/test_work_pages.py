"""Work orders, stock and labels as people see them, and what the phone hands in."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from mbongi.base.clock import utc_now
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.fleet import work_order_rows
from mbongi.fleet.rules.work_orders import EntryKind, Fault, WorkState
from mbongi.web.qr import path_of
from tests.web import work_site
from tests.web.conftest import Pilot

STAFF = set(Role) - {Role.TENANT, Role.RESEARCHER}
WORKERS = {Role.TECHNICIAN, Role.SHIFT_LEAD, Role.SITE_MANAGER}
JSON = "application/json"


@pytest.mark.parametrize("role", list(Role))
def test_each_role_opens_its_pages_of_work(role: Role, pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    boss = sign_in()
    order, part = work_site.order(boss.user, pilot.machines[0].pk), work_site.part(boss.user)
    client = sign_in(role, owner=pilot.north if role == Role.TENANT else None)
    seen = [
        "/workshop/",
        "/workshop/list/",
        "/workshop/list/export.csv",
        f"/workshop/{order}/",
        "/workshop/stock/",
        f"/workshop/stock/{part}/",
    ]
    seen += ["/workshop/statistics/", "/workshop/labels/", "/workshop/labels/?what=positions"]
    done = [f"/workshop/new/?machine={pilot.machines[0].pk}", "/workshop/phone/site.json"]
    found = {page: client.get(page).status_code for page in seen + done}
    assert found == {page: 200 if role in (WORKERS if page in done else STAFF) else 403 for page in seen + done}


def test_a_fault_is_reported_taken_and_fixed_by_clicks_and_a_second_click_adds_nothing(
    pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    client, machine = sign_in(Role.TECHNICIAN, language="en"), pilot.machines[0].pk
    form = {"key": str(uuid4()), "kind": "report", "fault": "fan", "text": "rattles <b>"}
    place = client.post(f"/workshop/new/?machine={machine}", form)["Location"]
    assert client.post(f"/workshop/new/?machine={machine}", form)["Location"] == place
    for kind in ("take", "fix"):
        made = {"key": str(uuid4()), "kind": kind}
        for _click in range(2):
            client.post(f"{place}enter/", made)
    text = client.get(place).content.decode()
    assert "rattles &lt;b&gt;" in text
    with acting(SITE):
        (row,) = work_order_rows.orders().rows
        assert (row.state, len(work_order_rows.entries(row.id))) == (WorkState.FIXED, 3)


def test_a_conflict_is_shown_with_its_reason_until_it_is_settled(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    lead, technician = sign_in(Role.SHIFT_LEAD, language="en"), sign_in(Role.TECHNICIAN, language="en")
    order = work_site.order(lead.user, pilot.machines[0].pk)
    work_site.enter(lead.user, EntryKind.TAKE, order)
    late = {"key": str(uuid4()), "kind": "take"}
    text = technician.post(f"/workshop/{order}/enter/", late, follow=True).content.decode()
    assert text.count("Somebody else has taken the order.") == 2
    assert "conflict" in lead.get("/workshop/").content.decode()
    lead.post(f"/workshop/{order}/enter/", {"key": str(uuid4()), "kind": "settle", "about": late["key"]})
    assert "conflict" not in lead.get("/workshop/").content.decode()


@pytest.mark.parametrize("bad", [{"key": "x"}, {"kind": "verify"}, {"kind": "dance"}, {"pieces": "many"}])
def test_a_form_that_cannot_be_used_says_so(bad: dict[str, str], pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(language="en")
    order = work_site.order(client.user, pilot.machines[0].pk)
    answer = client.post(f"/workshop/{order}/enter/", {"key": str(uuid4()), "kind": "take"} | bad, follow=True)
    assert 'class="note error"' in answer.content.decode()
    with acting(SITE):
        assert work_order_rows.order(order).state is WorkState.OPEN


def test_parts_are_added_moved_and_bought(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(Role.SHIFT_LEAD, language="en")
    form = {"number": "HB-S21", "name": "Hash board", "fits": "Antminer S21", "reorder_point": "2"}
    place = client.post("/workshop/stock/", form)["Location"]
    assert "in use" not in client.get("/workshop/stock/").content.decode()
    assert client.post("/workshop/stock/", form).status_code == 400
    assert client.post(place, {"key": str(uuid4()), "kind": "receive", "pieces": "x"}).status_code == 400
    client.post(place, {"key": str(uuid4()), "kind": "receive", "pieces": "2", "reason": "delivery 7"})
    assert "delivery 7" in client.get(place).content.decode()
    assert "To be bought" in client.get("/workshop/").content.decode()
    assert sign_in(Role.TECHNICIAN).post("/workshop/stock/", form | {"number": "X"}).status_code == 403


def test_labels_carry_the_address_of_the_phone_page(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    text = sign_in(language="en").get("/workshop/labels/?hall=20&rack=1").content.decode()
    assert text.count('class="qr"') == 6
    assert "20/01/01" in text


def test_a_code_s_path_draws_exactly_its_dark_modules() -> None:
    matrix = [[True, True, False, True], [False, False, False, False], [False, True, True, True]]
    drawn = set()
    for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\3z", path_of(matrix)):
        drawn |= {(int(x) + step, int(y)) for step in range(int(width))}
    assert drawn == {(x, y) for y, row in enumerate(matrix) for x, dark in enumerate(row) if dark}


def handed(client: Client, *entries: dict[str, Any], **rest: Any) -> Any:
    body = {"sent_at": utc_now().isoformat(), "entries": list(entries)} | rest
    return client.post("/workshop/phone/entries.json", body, content_type=JSON)


def test_the_phone_hands_in_twice_and_the_site_keeps_it_once(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client, machine = sign_in(Role.TECHNICIAN), pilot.machines[0].pk
    work_site.part(sign_in().user)
    at = (utc_now() - timedelta(hours=3)).isoformat()
    report = {"key": str(uuid4()), "kind": "report", "at": at, "machine_id": machine, "fault": Fault.FAN}
    fix = {"key": str(uuid4()), "kind": "fix", "at": at, "order_key": report["key"]}
    part = {"key": str(uuid4()), "kind": "part", "at": at, "order_key": report["key"], "part": "FAN-120", "pieces": 1}
    first = handed(client, report, fix, part).json()["receipts"]
    again = handed(client, report, fix, part).json()["receipts"]
    assert [one["repeated"] for one in first + again] == [False] * 3 + [True] * 3
    site = client.get("/workshop/phone/site.json").json()
    assert [(one["machine"], one["state"]) for one in site["orders"]] == [(machine, "fixed")]
    assert site["parts"] == [["FAN-120", "Fan 120 mm", 4]]
    assert len(site["machines"]) == 6


def test_what_the_phone_cannot_mean_is_a_problem_document(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(Role.TECHNICIAN)
    assert handed(client, {"kind": "take"}).status_code == 400
    assert handed(client, sent_at="noon").status_code == 400
    assert handed(sign_in(Role.TRAINEE)).status_code == 403
    assert handed(Client()).status_code == 401


def test_the_phone_s_page_says_nothing_about_anybody(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    assert Client().get("/workshop/phone/").status_code == 200
    text = sign_in(Role.TECHNICIAN).get("/workshop/phone/").content.decode()
    assert "Ada" not in text
    assert "20/01" not in text
    worker = Client().get("/workshop/phone/worker.js")
    assert worker["Content-Type"].startswith("text/javascript")
    assert worker["Cache-Control"] == "no-cache"
    kept = re.findall(r'"(/static/[^"]+)"', worker.content.decode())
    assert set(re.findall(r'(?:href|src)="(/static/[^"]+\.(?:css|js))"', text)) <= set(kept)
