"""The pages and the API of hosting: what a tenant sees, what it does not, and what people of the site decide."""

import csv
import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.test import Client

from mbongi.base.clock import utc_now
from mbongi.core.identity.models import Tenant, User
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role, Scope
from mbongi.fleet import contracts, hosting_rows, statements
from mbongi.fleet.models import Action, Closing, Contract, Excuse, HostedDay, Machine
from mbongi.fleet.rules.hosting_days import days_of, month_span
from mbongi.fleet.rules.hosting_terms import ExcuseClass
from mbongi.fleet.values import ActionKind, ActionStatus
from mbongi.web import hosting_sight
from tests.web import work_site
from tests.web.conftest import Pilot
from tests.web.hosting_site import HostingSite, make_hosting

JSON = "application/json"
FORM = {
    "valid_from": "2026-11", "starts": "2026-11-01", "ends": "", "who": "rule", "uptime": "99,5", "promise": "nominal",
    "nominal": "95", "currency": "USD", "mwh": "55.25", "machine_month": "", "credits": "99.5 5\n95 20",
    "curtailment": "agreed", "maintenance": "1.5", "notes": "", "reason": "signed",
}  # fmt: skip


@pytest.fixture
def hosting(pilot: Pilot) -> HostingSite:
    return make_hosting(pilot, None)


@pytest.fixture
def tenant_client(pilot: Pilot, sign_in: Callable[..., Client]) -> Client:
    """Somebody of the tenant north."""
    return sign_in(Role.TENANT, owner=pilot.north, language="en")


def page(client: Client, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, path
    return answer.content.decode()


# The tenant's portal.


def test_a_tenant_sees_its_month_without_what_is_the_sites(
    hosting: HostingSite, pilot: Pilot, tenant_client: Client, sign_in: Callable[..., Client]
) -> None:
    lead = sign_in(Role.SHIFT_LEAD).user
    work_site.order(lead, pilot.machines[4].pk, text="his fault really")
    work_site.order(lead, pilot.machines[0].pk)
    answer = tenant_client.get("/hosting/")
    assert answer["Location"] == f"/hosting/{hosting.north}/"
    text = page(tenant_client, f"/hosting/{hosting.north}/?month={hosting.month}")
    # Five hours down of which three excused: two of the month's owed hours.
    assert "North 1" in text
    assert "feeder &lt;lost&gt;" in text
    assert "20/01/05" in text
    assert text.count("statement.pdf") == 1
    assert "Fan" in text
    for secret in ("South", "20/01/01", "his fault really", "in private", "notice 17", "Grace", "excuse:", "Propose"):
        assert secret not in text, secret


def test_a_tenant_finds_nothing_of_anothers_by_any_address(
    hosting: HostingSite, pilot: Pilot, tenant_client: Client
) -> None:
    kinds = [f"/hosting/statements/{hosting.anothers}/statement.{kind}" for kind in ("pdf", "csv", "data", "json")]
    paths = (
        *kinds,
        *(f"/hosting/{hosting.south}/", f"/hosting/closings/{hosting.closing}/", "/hosting/excuses/"),
        f"/api/v1/hosting/contracts/{hosting.south}",
        f"/api/v1/hosting/contracts/{hosting.south}/month",
        f"/api/v1/hosting/contracts/{hosting.south}/versions",
        f"/api/v1/hosting/statements/{hosting.anothers}",
        f"/api/v1/hosting/closings/{hosting.closing}",
    )
    for path in paths:
        assert tenant_client.get(path).status_code == 404, path
    listed = tenant_client.get("/api/v1/hosting/statements").json()["items"]
    assert [one["id"] for one in listed] == [hosting.statement]
    assert [one["name"] for one in tenant_client.get("/api/v1/hosting/contracts").json()["items"]] == ["North 1"]
    assert tenant_client.get("/api/v1/hosting/excuses").json()["items"] == []
    packed = tenant_client.get(f"/hosting/statements/{hosting.month}.zip")
    names = zipfile.ZipFile(io.BytesIO(packed.content)).namelist()
    assert len(names) == 3
    assert all(f"-{hosting.north:04d}-" in name for name in names)


def test_a_tenant_decides_nothing_and_sees_no_proposal(
    hosting: HostingSite, pilot: Pilot, tenant_client: Client, sign_in: Callable[..., Client]
) -> None:
    lead = sign_in(Role.SHIFT_LEAD, language="en")
    lead.post(f"/hosting/{hosting.north}/write/", FORM | {"notes": "raise it", "reason": "greed"})
    assert "greed" in page(lead, f"/hosting/{hosting.north}/")
    text = page(tenant_client, f"/hosting/{hosting.north}/")
    assert "greed" not in text
    assert "raise it" not in text
    assert len(tenant_client.get(f"/api/v1/hosting/contracts/{hosting.north}/versions").json()["items"]) == 1
    assert tenant_client.get("/hosting/new/").status_code == 403
    guest = sign_in(Role.SITE_MANAGER, owner=pilot.north, language="en")
    assert guest.get(f"/hosting/{hosting.north}/write/").status_code == 403
    for path in ("versions/{0}/approve", "excuses/{0}/approve", "excuses/{0}/refuse"):
        for client in (tenant_client, guest):
            answer = client.post("/hosting/" + path.format(hosting.version) + "/", {"reason": "x"})
            assert answer.status_code in {403, 404}, path
    assert guest.post("/hosting/statements/close/", {"month": hosting.month}).status_code == 403
    assert guest.post("/hosting/excuses/", {"klass": "grid"}).status_code == 404


def test_a_tenant_with_no_contract_reads_so(pilot: Pilot, tenant_client: Client) -> None:
    assert "no contract of yours" in page(tenant_client, "/hosting/")


def test_a_running_month_is_shown_as_of_its_last_reading_and_old_when_that_is_old(
    hosting: HostingSite, pilot: Pilot, tenant_client: Client
) -> None:
    zone, now = hosting_sight.site().zone, utc_now()
    month = hosting_sight.this_month(now)
    today = next(day for day in days_of((int(now.timestamp()), int(now.timestamp()) + 1), zone))
    read_s = today.since + 1 + (int(now.timestamp()) - today.since) // 2
    with acting(SITE):
        HostedDay.objects.create(
            contract_id=hosting.north, tenant=pilot.north, machine=pilot.machines[4], day=today.day,
            since=moment(today.since), until=moment(read_s), runs=f"u{read_s - today.since}",
            hash_milli=0, energy_wh=0, power_s=0, read_at=moment(read_s),
        )  # fmt: skip
    with acting(Scope(tenant_id=pilot.north.pk, site_wide=False)):
        sight = hosting_sight.month_sight(hosting.north, month)
    assert sight.document is not None
    assert sight.document.sums.up_s == read_s - today.since
    # Of the days before today there is no record; what came after the reading is not counted at all.
    assert sight.document.sums.unknown_s == today.since - month_span(month, zone)[0]
    assert sight.is_stale is (now.timestamp() - read_s > hosting_sight.STALE_S)
    assert "so far" in page(tenant_client, f"/hosting/{hosting.north}/")


def test_a_month_is_added_up_again_only_once_something_that_it_is_made_of_has_changed(
    hosting: HostingSite, pilot: Pilot, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: list[int] = []
    reckon = statements.reckon

    def counted(contract_id: int, month: str, site: Any, **options: Any) -> Any:
        if options.get("only") is None:
            whole.append(contract_id)
        return reckon(contract_id, month, site, **options)

    monkeypatch.setattr(statements, "reckon", counted)
    machine, people = pilot.machines[4], list(User.objects.filter(name__in=["Ada", "Grace"]).order_by("-name"))
    span = month_span(hosting.month, hosting_sight.site().zone)

    def look() -> Any:
        sight = hosting_sight.month_sight(hosting.north, hosting.month)
        fresh = reckon(hosting.north, hosting.month, hosting_sight.site(), now=sight.now)
        assert sight.document is not None
        assert sight.document == msgspec.structs.replace(fresh.document, closed_at=sight.document.closed_at)
        assert sight.machines[0].sums == sight.document.sums
        return sight.document.sums.hash_milli, sight.document.sums.excused_all_s, sight.machines[0].name

    def read_anew() -> None:
        day = HostedDay.objects.filter(contract_id=hosting.north).order_by("day")[5]
        HostedDay.objects.filter(pk=day.pk).update(hash_milli=day.hash_milli + 7)

    def excuse() -> None:
        begin = moment(span[0] + 86_400 + 4 * 3600)
        row = contracts.enter_excuse(
            people[1], ExcuseClass.GRID, begin, begin + timedelta(hours=1), note="x", evidence=""
        )
        contracts.approve_excuse(people[0], row.id, reason="seen")

    def move() -> None:
        Machine.objects.filter(pk=machine.pk).update(slot=99)

    def sleep() -> None:
        begin = moment(span[0] + 2 * 86_400)
        Action.objects.create(
            machine=machine, kind=ActionKind.SLEEP, status=ActionStatus.DONE, reason="x", author=people[0],
            requested_at=begin, finished_at=begin,
        )  # fmt: skip

    with acting(SITE):
        first = look()
        assert (look(), len(whole)) == (first, 1)
        for number, change in enumerate((read_anew, excuse, move, sleep), 2):
            change()
            found = look()
            assert (look(), len(whole)) == (found, number), change.__name__
            assert found != first or change is sleep
            first = found


def moment(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


# Downloads.


def test_the_pdf_states_what_the_sheet_adds_up_to(hosting: HostingSite, tenant_client: Client) -> None:
    base = f"/hosting/statements/{hosting.statement}/statement."
    document = tenant_client.get(base + "json").json()
    sheet = tenant_client.get(base + "data").content
    assert hashlib.sha256(sheet).hexdigest() == document["sheet_sha256"]
    lines = list(csv.DictReader(io.StringIO(sheet.decode())))
    assert len(lines) == document["lines"]
    energy = sum(Decimal(line["energy_kwh"]) for line in lines)
    hashes = sum(Decimal(line["hash_hours_ths_h"]) for line in lines)
    assert (energy * 1000, hashes * 1000) == (document["sums"]["energy_wh"], document["sums"]["hash_milli"])
    text = pdf_text(tenant_client.get(base + "pdf").content)
    for figure in (f"{energy:,.3f} kWh", f"{hashes:,.3f} TH/s", document["sheet_sha256"], "North 1"):
        assert figure in text, figure
    total = document["bill"]["total_minor"]
    assert f"{Decimal(total) / 100:,.2f} USD" in text


def pdf_text(content: bytes) -> str:
    """The texts of a PDF that fpdf2 drew, in their order."""
    found: list[str] = []
    for stream in re.findall(rb"stream\n(.*?)\nendstream", content, re.DOTALL):
        try:
            plain = zlib.decompress(stream)
        except zlib.error:
            continue
        texts = re.findall(rb"\(((?:[^()\\]|\\.)*)\) Tj", plain)
        found += [re.sub(rb"\\(.)", rb"\1", text).decode("latin-1") for text in texts]
    return "\n".join(found)


def test_downloads_come_in_the_readers_language(
    hosting: HostingSite, pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    french = sign_in(Role.TENANT, owner=pilot.north, language="fr")
    base = f"/hosting/statements/{hosting.statement}/statement."
    sheet = french.get(base + "csv")
    assert sheet.content.startswith("\ufeffNuméro de machine".encode())
    assert "fr.csv" in sheet["Content-Disposition"]
    data = french.get(base + "data").content
    assert sheet.content.split(b"\r\n", 1)[1] == data.split(b"\r\n", 1)[1]
    text = pdf_text(french.get(base + "pdf").content)
    assert "Disponibilité promise" in text
    assert "À payer" in text


# The site's people.


def test_a_contract_is_written_on_a_form_by_one_and_approved_by_another(
    pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    lead, manager = sign_in(Role.SHIFT_LEAD, language="en"), sign_in(Role.SITE_MANAGER, language="en")
    assert "New contract" in page(lead, "/hosting/new/")
    wrong = lead.post("/hosting/new/", FORM | {"tenant": pilot.north.pk, "name": "North 1", "uptime": "much"})
    assert wrong.status_code == 400
    assert "much" in wrong.content.decode()
    lead.post("/hosting/new/", FORM | {"tenant": pilot.north.pk, "name": "North 1"})
    with acting(SITE):
        [row] = hosting_rows.contracts()
        [version] = hosting_rows.versions(row.id)
        assert (row.number, row.proposed, version.terms.mwh_minor) == (None, 1, 5525)
        assert (version.terms.uptime_ppm, version.terms.maintenance_s_max) == (995_000, 5400)
        assert [(step.below_ppm, step.credit_ppm) for step in version.terms.credits] == [
            (995_000, 50_000),
            (950_000, 200_000),
        ]
    assert "Not in force" in page(lead, "/hosting/")
    lead.post(f"/hosting/versions/{version.id}/approve/", {"reason": "me"})
    manager.post(f"/hosting/versions/{version.id}/approve/", {"reason": "read"})
    with acting(SITE):
        assert hosting_rows.contract(row.id).number == 1
    again = page(lead, f"/hosting/{row.id}/write/")
    for value in ('value="99.5"', 'value="55.25"', 'value="1.5"', "99.5 5"):
        assert value in again, value
    assert page(lead, f"/hosting/{row.id}/")


def test_excuses_are_entered_and_decided_on(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    lead, manager = sign_in(Role.SHIFT_LEAD, language="en"), sign_in(Role.SITE_MANAGER, language="en")
    form = {"klass": "grid", "since": "2026-11-05T08:00", "until": "2026-11-05T14:00", "reach": "hall", "hall": "20",
            "note": "feeder lost", "evidence": "notice 17"}  # fmt: skip
    for change in ({"klass": "weather"}, {"since": "soon"}, {"reach": "machines", "machines": "x"}, {"note": " "}):
        assert lead.post("/hosting/excuses/", form | change).status_code == 400, change
    lead.post("/hosting/excuses/", form)
    with acting(SITE):
        [row] = hosting_rows.excuses()
        # Brazzaville is an hour ahead of UTC.
        assert (row.since.hour, row.hall, row.state) == (7, 20, "proposed")
    assert "feeder lost" in page(lead, "/hosting/excuses/")
    assert manager.post(f"/hosting/excuses/{row.id}/approve/", {"reason": "seen"}).status_code == 302
    with acting(SITE):
        assert Excuse.objects.get().state == "active"


def test_a_month_is_closed_with_progress_and_all_is_packed(
    hosting: HostingSite, pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    manager, auditor = sign_in(Role.SITE_MANAGER, language="en"), sign_in(Role.AUDITOR, language="en")
    text = page(auditor, f"/hosting/statements/?month={hosting.month}")
    assert "North 1" in text
    assert "South 1" in text
    assert "Correct a statement" not in text
    packed = auditor.get(f"/hosting/statements/{hosting.month}.zip")
    assert len(zipfile.ZipFile(io.BytesIO(packed.content)).namelist()) == 6
    assert auditor.post("/hosting/statements/close/", {"month": hosting.month}).status_code == 403
    for month in ("2020-13", "x"):
        assert auditor.get(f"/hosting/statements/?month={month}").status_code == 400
        assert auditor.get(f"/hosting/statements/{month}.zip").status_code == 404
    answer = manager.post(
        "/hosting/statements/close/", {"month": hosting.month, "contract": hosting.north, "reason": "x"}
    )
    assert answer["Location"] == f"/hosting/statements/?month={hosting.month}"
    with acting(SITE):
        run = Closing.objects.order_by("-pk").first()
        assert run is not None
        assert run.contracts == [hosting.north]
    text = page(manager, f"/hosting/statements/?month={hosting.month}")
    assert f'hx-get="/hosting/closings/{run.pk}/"' in text
    assert "0 / 1" in page(manager, f"/hosting/closings/{run.pk}/")
    assert auditor.get(f"/hosting/closings/{hosting.closing}/", headers={"HX-Request": "true"})["HX-Refresh"] == "true"


# The API.


def test_the_api_writes_a_contract_with_two_people(
    pilot: Pilot, sign_in: Callable[..., Client], tenant: Callable[[str], Tenant]
) -> None:
    lead, manager = sign_in(Role.SHIFT_LEAD), sign_in(Role.SITE_MANAGER)
    terms = {"valid_from": "2026-11", "starts": "2026-11-01", "by_rule": True, "uptime_ppm": 990_000, "currency": "XAF",
             "machine_month_minor": 30_000}  # fmt: skip
    body = {"tenant_id": pilot.north.pk, "name": "North", "terms": terms, "reason": "signed"}
    made = lead.post("/api/v1/hosting/contracts", body, content_type=JSON)
    assert made.status_code == 201, made.content
    bad = lead.post(
        "/api/v1/hosting/contracts", body | {"name": "N", "terms": terms | {"currency": "?"}}, content_type=JSON
    )
    assert bad.status_code == 400
    path = f"/api/v1/hosting/versions/{made.json()['id']}"
    assert lead.post(f"{path}/approve", {"reason": "me"}, content_type=JSON).status_code == 403
    assert manager.post(f"{path}/approve", {"reason": "ok"}, content_type=JSON).json()["state"] == "active"
    assert lead.post("/api/v1/hosting/versions/99/refuse", {"reason": "x"}, content_type=JSON).status_code == 404
    excuse = {
        "class": "grid",
        "since": "2026-11-05T08:00:00Z",
        "until": "2026-11-05T09:00:00Z",
        "note": "lost",
        "hall": 20,
    }
    entered = lead.post("/api/v1/hosting/excuses", excuse, content_type=JSON)
    assert (entered.status_code, entered.json()["class"]) == (201, "grid")
    path = f"/api/v1/hosting/excuses/{entered.json()['id']}"
    assert lead.post(f"{path}/refuse", {"reason": "mine, wrong"}, content_type=JSON).json()["state"] == "refused"
    late = manager.post("/api/v1/hosting/closings", {"month": "2999-01"}, content_type=JSON)
    assert late.status_code == 400
    with acting(SITE):
        assert Contract.objects.count() == 1
