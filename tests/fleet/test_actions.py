"""Actions from the request to the outcome, and every way in which a request is refused."""

from datetime import timedelta

import pytest

from mbongi.base.clock import utc_now
from mbongi.core.bus.models import OutboxMessage
from mbongi.core.identity.scope import acting, scope_of
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import operations, pacing, selectors, services
from mbongi.fleet.action_work import Ending, interrupted_actions
from mbongi.fleet.errors import (
    ActionRefusedError,
    NotPermittedError,
    OperationRefusedError,
    UnknownActionError,
    UnknownMachineError,
)
from mbongi.fleet.models import Action
from mbongi.fleet.reading import Found
from mbongi.fleet.values import ActionKind, ActionStatus, Family

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]

POOLS = {"pools": [{"url": "stratum+tcp://pool.example:3333", "user": "site.7"}]}


@pytest.fixture
def machine_id():
    found = Found(address="10.20.3.7", family=Family.ANTMINER, model="Antminer S21", mac="AA:BB:CC:00:00:01")
    return services.register([found]).added[0]


def ask(user, machine_id, kind=ActionKind.SLEEP, arguments=None, **rest):
    (row,) = services.request_action(user, [machine_id], kind, arguments, **({"reason": "heat wave"} | rest))
    return row


def test_a_request_is_recorded_with_author_and_reason_in_the_ledger_and_told_to_the_bus(people, machine_id):
    user = people(Role.TECHNICIAN)

    row = ask(user, machine_id)

    assert (row.status, row.author, row.reason) == (ActionStatus.REQUESTED, "Ada", "heat wave")
    entry = ledger.entries(subject=f"machine:{machine_id}")[0]
    assert (entry.actor, entry.action, entry.reason) == (user.actor, "fleet.machine.sleep.request", "heat wave")
    assert OutboxMessage.objects.filter(subject="event.fleet.action_requested.v1").count() == 1


def test_a_claimed_action_runs_and_is_not_claimed_again(people, machine_id):
    row = ask(people(Role.TECHNICIAN), machine_id)

    (work,) = services.claim_actions()

    assert (work.action_id, work.address, work.kind, work.interrupted) == (row.id, "10.20.3.7", ActionKind.SLEEP, False)
    assert not services.claim_actions()
    (again,) = interrupted_actions()
    assert again.interrupted
    assert again.action_id == row.id


def test_an_ending_is_recorded_with_before_and_after_once(people, machine_id):
    row = ask(people(Role.TECHNICIAN), machine_id)
    services.claim_actions()
    ending = Ending(row.id, done=True, message="sleeps", before={"mode": "0"}, after={"mode": "1"}, verified=True)

    services.finish_actions([ending])
    services.finish_actions([ending])

    row = selectors.action(row.id)
    assert (row.status, row.before, row.after, row.verified) == (ActionStatus.DONE, {"mode": "0"}, {"mode": "1"}, True)
    endings = [each for each in ledger.entries(subject=f"machine:{machine_id}") if each.action.endswith(".done")]
    assert len(endings) == 1
    assert endings[0].before == {"settings": {"mode": "0"}}
    assert endings[0].after["settings"] == {"mode": "1"}
    assert endings[0].actor == "process:fleet"
    assert OutboxMessage.objects.filter(subject="event.fleet.action_finished.v1").count() == 1


def test_a_dry_run_is_told_apart_in_the_ledger(people, machine_id):
    row = ask(people(Role.TECHNICIAN), machine_id, dry_run=True)
    (work,) = services.claim_actions()
    assert work.dry_run

    services.finish_actions([Ending(row.id, done=True, message="would sleep")])

    assert ledger.entries(subject=f"machine:{machine_id}")[0].action == "fleet.machine.sleep.rehearse"


def test_a_request_that_nobody_could_begin_in_time_is_failed_and_not_begun(people, machine_id):
    row = ask(people(Role.TECHNICIAN), machine_id)
    Action.objects.update(requested_at=utc_now() - timedelta(minutes=16))

    assert not services.claim_actions()

    row = selectors.action(row.id)
    assert row.status is ActionStatus.FAILED
    assert "not begun in time" in row.message


@pytest.mark.parametrize(
    ("role", "kind", "arguments"),
    [
        (Role.TRAINEE, ActionKind.SLEEP, None),
        (Role.AUDITOR, ActionKind.REBOOT, None),
        (Role.TECHNICIAN, ActionKind.SET_POOLS, POOLS),
    ],
)
def test_an_action_that_the_role_does_not_permit_is_refused(people, machine_id, role, kind, arguments):
    with pytest.raises(NotPermittedError, match=f"{kind}.*role {role}"):
        ask(people(role), machine_id, kind, arguments)
    assert not Action.objects.exists()


def test_a_shift_lead_may_set_pools(people, machine_id):
    assert ask(people(Role.SHIFT_LEAD), machine_id, ActionKind.SET_POOLS, POOLS).arguments == POOLS


def test_a_tenant_cannot_act_even_on_its_own_machines(people, tenant, machine_id):
    north = tenant("north")
    services.assign(people(Role.SITE_MANAGER), [machine_id], north.pk, "contract 7")
    user = people(Role.TENANT, tenant=north)

    with acting(scope_of(user)), pytest.raises(NotPermittedError):
        ask(user, machine_id)


def test_a_tenant_sees_the_actions_on_its_machines_alone(people, tenant, machine_id):
    row = ask(people(Role.TECHNICIAN), machine_id)

    with acting(scope_of(people(Role.TENANT, tenant=tenant("north")))):
        assert not selectors.actions(machine_id)
        with pytest.raises(UnknownActionError):
            selectors.action(row.id)


def test_an_unknown_machine_is_named_and_nothing_is_asked_of_the_others(people, machine_id):
    with pytest.raises(UnknownMachineError, match="machine 999999"):
        services.request_action(people(Role.TECHNICIAN), [machine_id, 999_999], ActionKind.SLEEP, reason="heat")
    assert not Action.objects.exists()


@pytest.mark.parametrize("reason", ["", "   "])
def test_an_action_without_a_reason_is_refused(people, machine_id, reason):
    with pytest.raises(ActionRefusedError, match="found no reason"):
        ask(people(Role.TECHNICIAN), machine_id, reason=reason)


def test_a_reason_that_is_too_long_is_refused(people, machine_id):
    with pytest.raises(ActionRefusedError, match="501 characters"):
        ask(people(Role.TECHNICIAN), machine_id, reason="x" * 501)


def test_arguments_where_none_belong_are_refused(people, machine_id):
    with pytest.raises(ActionRefusedError, match="expected none"):
        ask(people(Role.TECHNICIAN), machine_id, ActionKind.SLEEP, {"minutes": 5})


def test_a_second_action_waits_for_the_end_of_the_first(people, machine_id):
    user = people(Role.TECHNICIAN)
    first = ask(user, machine_id)

    with pytest.raises(ActionRefusedError, match=f"action {first.id}"):
        ask(user, machine_id, ActionKind.WAKE)
    services.claim_actions()
    services.finish_actions([Ending(first.id, done=True, message="sleeps")])

    assert ask(user, machine_id, ActionKind.WAKE).status is ActionStatus.REQUESTED


def test_only_an_action_that_has_not_begun_can_be_cancelled(people, machine_id):
    user = people(Role.TECHNICIAN)
    row = ask(user, machine_id)

    assert services.cancel_action(user, row.id, reason="rain").status is ActionStatus.CANCELLED
    assert not services.claim_actions()

    row = ask(user, machine_id)
    services.claim_actions()
    with pytest.raises(ActionRefusedError, match="running"):
        services.cancel_action(user, row.id, reason="rain")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "pool.example:3333",
        "http://pool.example:3333",
        "stratum+tcp://pool.example",
        "stratum+tcp://:3333",
        "stratum+tcp://pool.example:0",
        "stratum+tcp://pool.example:99999",
        "stratum+tcp://user:secret@pool.example:3333",
        "stratum+tcp://pool.example:3333/?a=b",
        "stratum+tcp://pool example:3333",
        'stratum+tcp://pool.example:3333"',
        "stratum+tcp://pool.example:3333\n",
        "stratum+tcp://[::1:3333",
        "stratum+tcp://pool.example:3333/9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh",
        "stratum2+tcp://pool.example:3336/9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXi",
    ],
)
def test_a_bad_pool_address_is_refused_and_never_shown_with_a_password(people, machine_id, url):
    bad = {"pools": [{"url": url, "user": "site.7"}]}
    if url.endswith("\n"):  # A line end at the edge is what pasting leaves; it is trimmed.
        assert ask(people(), machine_id, ActionKind.SET_POOLS, bad).arguments["pools"][0]["url"] == url.strip()
        return

    with pytest.raises(ActionRefusedError, match="pool 1") as refusal:
        ask(people(), machine_id, ActionKind.SET_POOLS, bad)
    assert "secret" not in str(refusal.value) + refusal.value.text


def test_a_pool_of_stratum_v2_keeps_the_key_that_vouches_for_it(people, machine_id):
    """The key is the one that the Stratum V2 specification publishes."""
    url = "stratum2+tcp://pool.example:3336/9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh"
    wanted = {"pools": [{"url": url, "user": "site.7"}]}

    assert ask(people(), machine_id, ActionKind.SET_POOLS, wanted).arguments == wanted


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"pools": []},
        {"pools": "stratum+tcp://pool.example:3333"},
        {"pools": POOLS["pools"] * 2},
        {"pools": [{"url": f"stratum+tcp://pool{number}.example:3333", "user": "a"} for number in range(4)]},
        {"pools": [{"url": "stratum+tcp://pool.example:3333"}]},
        {"pools": [{"url": "stratum+tcp://pool.example:3333", "user": ""}]},
        {"pools": [{"url": "stratum+tcp://pool.example:3333", "user": "a b"}]},
        {"pools": [{"url": "stratum+tcp://pool.example:3333", "user": 7}]},
        {"pools": [{"url": "stratum+tcp://pool.example:3333", "user": "a", "password": "secret"}]},
        {"pools": [7]},
        POOLS | {"more": 1},
    ],
)
def test_pool_settings_that_cannot_be_used_are_refused_whole(people, machine_id, arguments):
    with pytest.raises(ActionRefusedError, match="set_pools") as refusal:
        ask(people(), machine_id, ActionKind.SET_POOLS, arguments)
    assert "secret" not in str(refusal.value) + refusal.value.text
    assert not Action.objects.exists()


def test_what_a_machine_answers_is_recorded_whatever_it_holds(people, machine_id):
    row = ask(people(Role.TECHNICIAN), machine_id)
    services.claim_actions()

    odd = {"user": "a\0b\ud800", "w": float("nan"), "pools": [{"url": "\0"}]}
    services.finish_actions([Ending(row.id, done=False, message="it said \0", before=odd, after=None)])

    row = selectors.action(row.id)
    assert (row.status, row.message, row.after) == (ActionStatus.FAILED, "it said ", None)
    assert row.before == {"user": "ab?", "w": None, "pools": [{"url": ""}]}
    assert Action.objects.filter(after__isnull=True).count() == 1


def test_new_pools_wait_for_a_second_person_and_nothing_is_offered_to_the_fleet_until_then(people, machine_id):
    lead, manager = people(Role.SHIFT_LEAD), people(Role.SITE_MANAGER)
    row = ask(lead, machine_id, ActionKind.SET_POOLS, POOLS)
    assert (row.status, row.awaits_second) == (ActionStatus.PLANNED, True)
    assert not services.claim_actions()
    with pytest.raises(NotPermittedError):
        operations.approve_operation(lead, row.operation_id, reason="me", start=True)
    own = ask(manager, machine_id, ActionKind.SET_POOLS, POOLS)
    with pytest.raises(OperationRefusedError, match="somebody else must approve"):
        operations.approve_operation(manager, own.operation_id, reason="me", start=True)

    operations.approve_operation(manager, row.operation_id, reason="agreed", start=True)
    pacing.advance(row.operation_id)

    (work,) = services.claim_actions()
    assert (work.kind, work.arguments) == (ActionKind.SET_POOLS, POOLS)
    assert not selectors.action(row.id).awaits_second


def test_new_pools_that_are_refused_or_withdrawn_are_never_written(people, machine_id):
    lead, officer = people(Role.SHIFT_LEAD), people(Role.SECURITY_OFFICER)
    refused = ask(lead, machine_id, ActionKind.SET_POOLS, POOLS)
    withdrawn = ask(lead, machine_id, ActionKind.SET_POOLS, POOLS)
    with pytest.raises(NotPermittedError):
        operations.refuse_operation(people(Role.TECHNICIAN), refused.operation_id, reason="no")

    operations.refuse_operation(officer, refused.operation_id, reason="not ours")
    operations.refuse_operation(lead, withdrawn.operation_id, reason="mistake")

    assert {selectors.action(row.id).status for row in (refused, withdrawn)} == {ActionStatus.CANCELLED}
    with pytest.raises(OperationRefusedError):
        operations.approve_operation(officer, refused.operation_id, reason="after all")
    newest = ledger.entries(subject=f"operation:{refused.operation_id}")[0]
    assert (newest.action, newest.actor, newest.reason) == ("fleet.operation.refuse", officer.actor, "not ours")


def test_new_pools_are_rehearsed_by_one_person_alone(people, machine_id):
    row = ask(people(Role.SHIFT_LEAD), machine_id, ActionKind.SET_POOLS, POOLS, dry_run=True)

    assert (row.status, row.awaits_second) == (ActionStatus.REQUESTED, False)
