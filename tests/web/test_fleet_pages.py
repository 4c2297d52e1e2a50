"""Groups, profiles and operations on pages: written in a form, decided on by two people, rehearsed, carried out."""

from collections.abc import Callable
from typing import Any

from django.test import Client

from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.fleet import group_rows, operation_rows
from mbongi.fleet.models import Action, Operation
from mbongi.fleet.values import ActionStatus, OperationState, ProfileState
from tests.web import group_site
from tests.web.conftest import Pilot

FORM: dict[str, Any] = {
    "account": "acct",
    "url": ["stratum+tcp://pool.example:3333", "stratum+tcp://spare.example:3333", ""],
    "user": ["{account}.{position}", "{account}.{position}", ""],
    "power": "target",
    "mode": "low",
    "target_w": "3 200".replace(" ", "\u202f"),
    "fan": "fixed",
    "fan_percent": "60",
    "may_sleep": "1",
    "batch": "20",
    "ramp_kw_s": "12,5",
    "failures_max": "4",
    "settle_min": "30",
    "reason": "own pool",
}


def page(client: Client, path: str, code: int = 200, **query: str) -> str:
    answer = client.get(path, query)
    assert answer.status_code == code, path
    return answer.content.decode()


def send(client: Client, path: str, **form: Any) -> str:
    """Send a form that leads elsewhere; returns where."""
    answer = client.post(path, form)
    assert answer.status_code == 302, answer.content.decode()[-2000:]
    return str(answer["Location"])


def test_a_profile_is_written_in_a_form_and_approved_by_a_second_person(
    pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    lead, manager = sign_in(Role.SHIFT_LEAD, language="en"), sign_in(Role.SITE_MANAGER, language="en")
    place = send(lead, "/fleet/groups/add/", name="Hall A", note="south", reason="new")
    draft = send(lead, f"{place}profile/", **FORM)
    text = page(lead, draft)
    assert "decides who is paid" not in text  # there was no version before
    assert "stratum+tcp://spare.example:3333" in text

    assert send(lead, f"{draft}propose/") == draft
    assert "somebody else must approve" in page(lead, draft)
    assert f"{draft}approve/" not in page(lead, draft)
    assert f"{draft}approve/" in page(manager, draft)
    assert send(manager, f"{draft}approve/", reason="agreed") == f"{place}rehearsal/"

    with acting(SITE):
        desired = group_rows.profile(int(draft.split("/")[-2])).desired
    assert [pool.url for pool in desired.pools] == FORM["url"][:2]
    assert desired.power is not None
    assert (desired.power.mode, desired.power.target_w) == (None, 3200)
    assert (desired.limits.batch, desired.limits.ramp_kw_s, desired.limits.settle_s) == (20, 12.5, 1800.0)
    assert (desired.may_sleep, desired.reassert, desired.owner) == (True, False, None)


def test_two_versions_are_compared_field_by_field(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(Role.SITE_MANAGER, language="en")
    group_id = group_site.group(client.user, pilot)  # type: ignore[attr-defined]
    draft = send(client, f"/fleet/groups/{group_id}/profile/", **FORM)
    text = page(client, f"/fleet/groups/{group_id}/diff/", **{"from": "1", "to": "2"})
    assert text.count('<tr class="differs">') == 4  # pool 2, power, fans and limits
    assert page(client, draft).count('<tr class="differs">') == 4
    page(client, f"/fleet/groups/{group_id}/diff/", 400, **{"from": "x"})
    page(client, f"/fleet/groups/{group_id}/diff/", 404, to="9")


def test_what_a_form_says_wrongly_is_said_and_nothing_typed_is_lost(
    pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    client = sign_in(Role.SHIFT_LEAD, language="en")
    place = send(client, "/fleet/groups/add/", name="Hall A", reason="new")
    for wrong, said in (
        ({"target_w": "much"}, "“much” is no number."),
        ({"fan_percent": "140"}, "Fans can be fixed between 0 and 100 %."),
        ({"reason": " "}, "State a reason."),
    ):
        answer = client.post(f"{place}profile/", FORM | wrong)
        text = answer.content.decode()
        assert answer.status_code == 400
        assert said in text
        assert "stratum+tcp://spare.example:3333" in text
    with acting(SITE):
        assert group_rows.profiles(int(place.split("/")[-2])) == []


def test_a_dry_run_shows_each_machine_and_becomes_an_operation(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(Role.SHIFT_LEAD, language="en")
    group_id = group_site.group(client.user, pilot)  # type: ignore[attr-defined]
    text = page(client, f"/fleet/groups/{group_id}/rehearsal/")
    assert "site.w" in text
    assert "acct.20-01-01" in text
    assert "Set pools" in text
    standing = page(client, f"/fleet/groups/{group_id}/standing/")
    assert "2 differ" in standing
    with acting(SITE):
        assert not Operation.objects.exists()  # looking writes nothing

    place = send(client, f"/fleet/groups/{group_id}/rehearsal/", reason="own pool")
    with acting(SITE):
        row = operation_rows.operation(int(place.split("/")[-2]))
    assert (row.state, row.total, row.reason) == (OperationState.RUNNING, 2, "own pool")
    assert "2 being changed" in page(client, f"/fleet/groups/{group_id}/standing/")
    # Asked for again while it is under way, there is nothing left to write.
    assert (
        send(client, f"/fleet/groups/{group_id}/rehearsal/", reason="again") == f"/fleet/groups/{group_id}/rehearsal/"
    )


def test_an_operation_page_says_how_far_it_is_and_what_could_not_be_done(
    pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    client = sign_in(Role.SHIFT_LEAD, language="en")
    number = group_site.operation(client.user, pilot)  # type: ignore[attr-defined]
    place = f"/fleet/operations/{number}/"
    assert send(client, f"{place}start/") == place
    with acting(SITE):
        first, second = Action.objects.filter(operation=number).order_by("seq")
        Action.objects.filter(pk=first.pk).update(status=ActionStatus.DONE, verified=True)
        Action.objects.filter(pk=second.pk).update(
            status=ActionStatus.FAILED, message="127.20.1.2: the machine said <no>"
        )
    text = page(client, place)
    assert "2 of 2 steps" in text
    assert "the machine said &lt;no&gt;" in text
    assert "/ledger/?subject=operation:" in text
    assert "the machine said" not in page(client, place, status="done").split("Steps</h2>")[1]
    part = client.get(place, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert 'hx-trigger="every 2s"' in part

    send(client, f"{place}pause/", reason="lunch")
    assert "Go on" in page(client, place)
    send(client, f"{place}pause/", reason="again")
    assert "The operation has come further meanwhile" in page(client, place)
    send(client, f"{place}cancel/", reason="no")
    text = page(client, place)
    assert "hx-trigger" not in text.split('id="operation"')[1].split(">")[0]
    assert "Cancelled" in page(client, "/fleet/operations/")


def test_lists_have_words_where_there_is_nothing(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(Role.SITE_MANAGER, language="en")
    assert "No group yet" in page(client, "/fleet/groups/")
    assert "No operation yet" in page(client, "/fleet/operations/")
    assert "No operation of this kind" in page(client, "/fleet/operations/", kind="heal")
    page(client, "/fleet/operations/", 400, kind="dance")
    for path in ("/fleet/groups/9/", "/fleet/groups/9/standing/", "/fleet/profiles/9/", "/fleet/operations/9/"):
        page(client, path, 404)


def test_whoever_may_only_look_is_offered_nothing_and_refused_everything(
    pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    manager, auditor = sign_in(Role.SITE_MANAGER), sign_in(Role.AUDITOR, language="en")
    group_id = group_site.group(manager.user, pilot)  # type: ignore[attr-defined]
    number = group_site.operation(manager.user, pilot)  # type: ignore[attr-defined]
    for path in (f"/fleet/groups/{group_id}/", f"/fleet/groups/{group_id}/rehearsal/", f"/fleet/operations/{number}/"):
        text = page(auditor, path)
        assert "<form" not in text.split('id="content"')[1].replace('action="/fleet/groups/1/diff/"', ""), path
    assert auditor.post("/fleet/groups/add/", {"name": "x", "reason": "x"}).status_code == 403
    assert auditor.post(f"/fleet/groups/{group_id}/rehearsal/", {"reason": "x"}).status_code == 403
    for verb in ("start", "cancel", "pause"):
        assert auditor.post(f"/fleet/operations/{number}/{verb}/", {"reason": "x"}).status_code == 403
    with acting(SITE):
        version = group_rows.profiles(group_id)[0]
    assert version.state is ProfileState.ACTIVE
    assert auditor.post(f"/fleet/profiles/{version.id}/refuse/", {"reason": "x"}).status_code in {302, 403}


def test_a_tenant_sees_nothing_of_the_sites_groups(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    manager = sign_in(Role.SITE_MANAGER)
    group_id = group_site.group(manager.user, pilot)  # type: ignore[attr-defined]
    number = group_site.operation(manager.user, pilot)  # type: ignore[attr-defined]
    tenant = sign_in(Role.TENANT, owner=pilot.north, language="en")
    assert "No group yet" in page(tenant, "/fleet/groups/")
    assert "No operation yet" in page(tenant, "/fleet/operations/")
    page(tenant, f"/fleet/groups/{group_id}/", 404)
    page(tenant, f"/fleet/operations/{number}/", 404)


def test_a_machines_page_says_how_it_stands_to_its_profile(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(Role.SHIFT_LEAD, language="en")
    place = f"/machines/{pilot.machines[0].pk}/"
    assert "It belongs to no group" in page(client, place)
    group_id = group_site.group(client.user, pilot)  # type: ignore[attr-defined]
    text = page(client, place).split("Group and profile")[1]
    assert "site.w" in text
    assert "acct.20-01-01" in text
    send(client, f"/fleet/groups/{group_id}/rehearsal/", reason="own pool")
    text = page(client, place)
    assert "An operation is bringing it to its profile." in text
    assert "Reconciliation" in text
