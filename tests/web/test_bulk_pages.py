"""The list of machines: counts by state, kept views, and what is done to many chosen machines at once."""

from collections.abc import Callable
from typing import Any

from django.test import Client

from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.fleet import operation_rows
from mbongi.fleet.models import Action, GroupMove, Machine, Operation
from mbongi.fleet.values import ActionKind, OperationKind, OperationState
from tests.web import group_site
from tests.web.conftest import Pilot


def send(client: Client, path: str, **form: Any) -> str:
    answer = client.post(path, form)
    assert answer.status_code == 302, answer.content.decode()[-2000:]
    return str(answer["Location"])


def test_states_stand_above_the_list_with_their_counts(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(language="en")
    text = client.get("/machines/?state=off&model=Antminer+S21").content.decode()
    tabs = text.split('class="state-tabs"')[1].split("</nav>")[0]
    # The counts are of all machines that fit but for the state, so that one sees where else to go.
    assert "all <b>6</b>" in tabs
    assert "<span>Mining</span></span> <b>3</b>" in tabs
    assert text.count("<tr data-machine") == 1
    assert "all <b>0</b>" in client.get("/machines/?q=nothing+like+it").content.decode()


def test_the_list_is_narrowed_to_a_group_or_to_those_without(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(language="en")
    group_id = group_site.group(client.user, pilot)  # type: ignore[attr-defined]
    assert client.get(f"/machines/?group={group_id}").content.decode().count("<tr data-machine") == 2
    assert client.get("/machines/?group=0").content.decode().count("<tr data-machine") == 4
    assert client.get("/machines/?group=x").status_code == 400


def test_a_kept_view_is_ones_own_until_it_is_shared_and_stays_with_ones_tenant(
    pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    lead, manager = sign_in(Role.SHIFT_LEAD), sign_in(Role.SITE_MANAGER)
    tenant = sign_in(Role.TENANT, owner=pilot.north)
    link = 'href="/machines/?state=off&amp;sort=-since"'
    assert (
        send(lead, "/machines/views/", name="Off", query="state=off&sort=-since") == "/machines/?state=off&sort=-since"
    )
    assert link in lead.get("/machines/").content.decode()
    assert link not in manager.get("/machines/").content.decode()

    send(lead, "/machines/views/", name="Off", query="state=off&sort=-since", shared="1")
    text = manager.get("/machines/").content.decode()
    assert link in text
    assert link not in tenant.get("/machines/").content.decode()
    number = lead.get("/machines/").content.decode().split('action="/machines/views/')[2].split("/")[0]
    send(manager, f"/machines/views/{number}/remove/")
    assert link in lead.get("/machines/").content.decode()  # it was not the manager's to remove
    send(lead, f"/machines/views/{number}/remove/")
    assert link not in lead.get("/machines/").content.decode()
    send(lead, "/machines/views/", name=" ", query="")
    assert "1 à 60 lettres" in lead.get("/machines/").content.decode()


def test_many_are_put_to_sleep_after_a_look_that_says_what_is_left(
    pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    client = sign_in(Role.SHIFT_LEAD, language="en")
    chosen = {"all": "1", "query": "model=Antminer+S21", "what": "sleep"}
    text = client.post("/machines/bulk/", chosen).content.decode()
    assert "It gives no answer, or is off." in text
    assert "It is so already." in text
    with acting(SITE):
        assert not Operation.objects.exists()  # a look writes nothing

    # Nothing is done where it was not seen to whom, or others fit by now.
    for seen in ("", "0" * 64):
        back = send(client, "/machines/bulk/", **chosen, step="do", seen=seen, batch="2", reason="grid")
        assert back.startswith("/machines/?")
    with acting(SITE):
        assert not Operation.objects.exists()
    chosen["seen"] = text.split('name="seen" value="')[1].split('"')[0]

    place = send(client, "/machines/bulk/", **chosen, step="do", batch="2", ramp_kw_s="", reason="grid")
    with acting(SITE):
        row = operation_rows.operation(int(place.split("/")[-2]))
        steps = Action.objects.filter(operation=row.id).order_by("seq")
        told = [(step.machine_id, step.kind, step.load_w) for step in steps]
    assert (row.kind, row.state, row.limits.batch) == (OperationKind.HAND, OperationState.RUNNING, 2)
    # Machines 0, 1 and 4 mine; 3,500 W is the nameplate of an S21 at 17.5 J/TH and 200 TH/s.
    assert told == [(pilot.machines[number].pk, ActionKind.SLEEP, -3500.0) for number in (0, 1, 4)]
    assert dict(row.document["left_count"]) == {"silent": 2, "already": 1}
    # They are busy now; nothing is done twice.
    assert "Something else is being done to it." in client.post("/machines/bulk/", chosen).content.decode()
    assert send(client, "/machines/bulk/", **chosen, step="do", batch="2", reason="again").startswith("/machines/?")


def test_ticked_machines_go_into_a_group_and_out_again(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(Role.SHIFT_LEAD, language="en")
    place = send(client, "/fleet/groups/add/", name="Hall B", reason="x")
    number = int(place.split("/")[-2])
    ids = [machine.pk for machine in pilot.machines[:3]]
    chosen: dict[str, Any] = {"id": ids, "query": "", "what": f"group:{number}"}
    assert "3 machines go into Hall B" in client.post("/machines/bulk/", chosen).content.decode()
    assert send(client, "/machines/bulk/", **chosen, step="do", reason="x") == place
    with acting(SITE):
        assert Machine.objects.filter(group=number).count() == 3
    send(client, "/machines/bulk/", **(chosen | {"what": "group:0", "id": ids[:1]}), step="do", reason="x")
    with acting(SITE):
        assert sorted(Machine.objects.filter(group=number).values_list("pk", flat=True)) == ids[1:]


def test_without_a_choice_or_with_a_wrong_one_nothing_happens(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    lead = sign_in(Role.SHIFT_LEAD, language="en")
    first = str(pilot.machines[0].pk)
    for wrong in ({"what": "sleep"}, {"what": "dance", "id": first}, {"what": "sleep", "all": "1", "query": "rack=x"}):
        send(lead, "/machines/bulk/", **wrong)
        assert "Choose machines first." in lead.get("/machines/").content.decode()
    send(lead, "/machines/bulk/", what="sleep", id=first, step="do", batch="many", reason="x")
    send(lead, "/machines/bulk/", what="sleep", id=first, step="do", batch="5", reason=" ")
    assert lead.post("/machines/bulk/", {"what": "group:999", "id": first}).status_code == 404
    technician = sign_in(Role.TECHNICIAN)
    assert (
        technician.post(
            "/machines/bulk/", {"what": "sleep", "id": first, "step": "do", "batch": "5", "reason": "x"}
        ).status_code
        == 403
    )
    assert 'id="bulk"' not in technician.get("/machines/").content.decode()
    with acting(SITE):
        assert not Operation.objects.exists()


def test_machines_that_would_work_for_others_wait_on_the_page_until_somebody_else_agrees(
    pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    lead, manager = sign_in(Role.SHIFT_LEAD, language="en"), sign_in(Role.SITE_MANAGER, language="en")
    number = group_site.group(lead.user, pilot)  # type: ignore[attr-defined]
    wish = {"id": [pilot.machines[2].pk], "what": f"group:{number}", "query": ""}
    assert "until a second person agrees" in lead.post("/machines/bulk/", wish).content.decode()

    place = send(lead, "/machines/bulk/", **wish, step="do", reason="new rack")

    text = lead.get(place).content.decode()
    assert "1 machine waits until a second person agrees." in text
    assert "1 machine is to go into Hall A" in text
    assert "stratum+tcp://pool.example:3333" in text.split("is to go into")[1].split("</section>")[0]
    with acting(SITE):
        move = GroupMove.objects.get().pk
    assert f"/fleet/moves/{move}/approve/" not in text
    assert lead.post(f"/fleet/moves/{move}/approve/", {"reason": "me"}).status_code == 403
    assert f"/fleet/moves/{move}/approve/" in manager.get("/fleet/groups/").content.decode()
    assert manager.get(f"/fleet/moves/{move}/approve/").status_code == 405
    assert manager.post(f"/fleet/moves/{move}/eat/", {"reason": "x"}).status_code == 404
    assert manager.post("/fleet/moves/999999/approve/", {"reason": "x"}).status_code == 404

    assert send(manager, f"/fleet/moves/{move}/approve/", reason="agreed") == "/fleet/groups/"

    with acting(SITE):
        assert Machine.objects.get(pk=pilot.machines[2].pk).group_id == number
    assert "is to go into" not in manager.get("/fleet/groups/").content.decode()
