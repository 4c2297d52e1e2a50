"""Moves into groups that would change whom machines work for: one asks, another agrees; the ledger has both."""

import pytest

from mbongi.core.identity.scope import Scope, acting
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import group_rows, groups, moves, reconcile, services
from mbongi.fleet.errors import NotPermittedError, OperationRefusedError, ProfileRefusedError, UnknownMoveError
from mbongi.fleet.models import Action, GroupMove, Machine
from mbongi.fleet.values import Desired, DesiredPool, DesiredPower, MoveState, PowerMode
from tests.fleet.rows import add_machines

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]


def paying(account, *, owner=None):
    pool = DesiredPool(url="stratum+tcp://pool.example:3333", user="{account}.{position}")
    return Desired(account=account, pools=(pool,), owner=owner)


@pytest.fixture
def group(people, lead):
    """Makes a group with an active profile."""

    def make(name, desired):
        row = groups.add_group(lead, name, reason="x")
        version = groups.propose_profile(lead, groups.write_profile(lead, row.id, desired, reason="x").id)
        if version.needs_second:
            groups.approve_profile(people(Role.SITE_MANAGER), version.id, reason="x")
        return row.id

    return make


def group_of(machine_id):
    return Machine.objects.get(pk=machine_id).group_id


def verbs(subject):
    return [entry.action for entry in reversed(ledger.entries(subject=subject))]


def test_one_person_alone_brings_no_machine_to_pools_that_it_did_not_work_for(group, lead, manager):
    (machine_id,) = add_machines(1)
    north = group("North", paying("north"))

    put = groups.put_machines(lead, north, [machine_id], reason="new rack")

    assert (put.changed, put.waiting, group_of(machine_id)) == (0, 1, None)
    assert not group_rows.wanted_by_machine()  # nothing is said of it: it neither drifts nor is brought back
    with pytest.raises(OperationRefusedError, match="nothing to write"):
        reconcile.reconcile(manager, north, reason="now")
    (row,) = moves.open_moves(north)
    assert (row.machine_ids, row.origins, row.desired) == ([machine_id], [("", 1)], paying("north"))
    with pytest.raises(NotPermittedError):
        moves.approve_move(lead, row.id, reason="me")

    assert moves.approve_move(manager, row.id, reason="agreed") == 1

    assert group_of(machine_id) == north
    assert not moves.open_moves()
    assert verbs(f"group:{north}")[-2:] == ["fleet.group.ask", "fleet.group.approve"]
    entry = ledger.entries(subject=f"machine:{machine_id}", limit=1)[0]
    assert (entry.action, entry.actor, entry.reason) == ("fleet.machine.group", manager.actor, "agreed")


def test_nobody_agrees_to_what_they_asked_for_themselves(group, manager):
    (machine_id,) = add_machines(1)
    put = groups.put_machines(manager, group("North", paying("north")), [machine_id], reason="x")

    with pytest.raises(ProfileRefusedError, match="somebody else"):
        moves.approve_move(manager, put.move_id, reason="me")
    assert group_of(machine_id) is None


def test_a_machine_goes_at_once_where_nobody_else_is_paid(group, lead, manager):
    """Out of any group, into one without pools, or with the same: only what was agreed on before is paid."""
    (machine_id,) = add_machines(1)
    first, same = group("First", paying("north")), group("Same", paying("north"))
    cool = group("Cool", Desired(power=DesiredPower(mode=PowerMode.LOW)))
    other = group("Other", paying("south"))
    moves.approve_move(manager, groups.put_machines(lead, first, [machine_id], reason="x").move_id, reason="x")

    for into in (same, cool, None):
        assert groups.put_machines(lead, into, [machine_id], reason="x") == groups.Put(1, 0)
    for back in (first, other):  # it has been agreed on for no longer than it stood there
        assert groups.put_machines(lead, back, [machine_id], reason="x").waiting == 1


def test_what_is_asked_last_counts_and_a_move_that_nothing_waits_for_is_over(group, lead, manager):
    one, two = add_machines(2)
    north, south = group("North", paying("north")), group("South", paying("south"))
    first = groups.put_machines(lead, north, [one, two], reason="x").move_id
    assert groups.put_machines(lead, north, [one], reason="again") == groups.Put(0, 1)

    second = groups.put_machines(lead, south, [one], reason="no, south").move_id
    assert [row.machine_ids for row in moves.open_moves()] == [[one], [two]]
    groups.put_machines(lead, None, [two], reason="nowhere")

    assert GroupMove.objects.get(pk=first).state == MoveState.REFUSED
    with pytest.raises(ProfileRefusedError, match="refused"):
        moves.approve_move(manager, first, reason="late")
    moves.approve_move(manager, second, reason="x")
    assert (group_of(one), group_of(two)) == (south, None)


def test_a_move_is_withdrawn_by_who_asked_and_refused_by_who_may_approve(group, people, lead):
    ids = add_machines(1)
    north = group("North", paying("north"))
    own = groups.put_machines(lead, north, ids, reason="x").move_id
    with pytest.raises(NotPermittedError):
        moves.refuse_move(people(Role.SHIFT_LEAD), own, reason="x")
    with pytest.raises(ProfileRefusedError, match="no reason"):
        moves.refuse_move(lead, own, reason=" ")
    moves.refuse_move(lead, own, reason="a slip")
    moves.refuse_move(
        people(Role.SECURITY_OFFICER), groups.put_machines(lead, north, ids, reason="x").move_id, reason="no"
    )

    assert verbs(f"group:{north}")[-4:] == ["fleet.group.ask", "fleet.group.refuse"] * 2
    assert group_of(ids[0]) is None
    with pytest.raises(UnknownMoveError):
        moves.refuse_move(lead, 999_999, reason="x")


def test_a_retired_machine_goes_nowhere_and_waits_for_nothing_once_it_is_back(group, lead, manager):
    kept, retired = add_machines(2)
    north = group("North", paying("north"))
    move = groups.put_machines(lead, north, [kept, retired], reason="x").move_id
    services.retire(manager, [retired], "scrap")

    assert moves.approve_move(manager, move, reason="x") == 1

    assert (group_of(kept), group_of(retired), Machine.objects.get(pk=retired).move_id) == (north, None, None)


def test_a_machine_of_another_owner_leaves_the_group_and_is_told_nothing_of_its_profile(group, lead, manager, tenant):
    north, south = tenant("north"), tenant("south")
    (machine_id,) = add_machines(1, tenant=north)
    theirs = group("North", paying("north", owner=north.pk))
    moves.approve_move(manager, groups.put_machines(lead, theirs, [machine_id], reason="x").move_id, reason="x")
    assert machine_id in group_rows.wanted_by_machine()

    services.assign(manager, [machine_id], south.pk, "sold")

    assert group_of(machine_id) is None
    assert not group_rows.wanted_by_machine()
    assert not Action.objects.exists()
    entries = ledger.entries(subject=f"machine:{machine_id}", limit=2)
    assert {entry.action: entry.after for entry in entries} == {
        "fleet.machine.assign": {"tenant": south.pk},
        "fleet.machine.group": {"group": None},
    }
    # Back in the former owner's group it comes by two people alone.
    assert groups.put_machines(lead, theirs, [machine_id], reason="x").waiting == 1


def test_the_site_s_group_is_left_if_it_says_whom_to_work_for_and_kept_if_not(group, lead, manager, north):
    paid, cooled = add_machines(2)
    pools, power = group("Ours", paying("site")), group("Cool", Desired(power=DesiredPower(mode=PowerMode.LOW)))
    moves.approve_move(manager, groups.put_machines(lead, pools, [paid], reason="x").move_id, reason="x")
    groups.put_machines(lead, power, [cooled], reason="x")

    services.assign(manager, [paid, cooled], north.pk, "contract 7")

    assert (group_of(paid), group_of(cooled)) == (None, power)


def test_the_site_s_group_is_left_if_it_says_that_its_machines_are_the_site_s(group, lead, manager, north):
    (machine_id,) = add_machines(1)
    ours = group("Ours", Desired(owner=0))
    moves.approve_move(manager, groups.put_machines(lead, ours, [machine_id], reason="x").move_id, reason="x")

    services.assign(manager, [machine_id], north.pk, "contract 7")

    # Else the next reconciling would take it from its new owner.
    assert group_of(machine_id) is None


def test_what_was_asked_for_a_former_owner_s_machine_is_dropped(group, lead, manager, north):
    (machine_id,) = add_machines(1)
    ours = group("Ours", paying("site"))
    move = groups.put_machines(lead, ours, [machine_id], reason="x").move_id

    services.assign(manager, [machine_id], north.pk, "contract 7")

    assert GroupMove.objects.get(pk=move).state == MoveState.REFUSED
    with pytest.raises(ProfileRefusedError):
        moves.approve_move(manager, move, reason="x")


def test_tenants_see_no_moves(group, lead, north):
    (machine_id,) = add_machines(1, tenant=north)
    groups.put_machines(lead, group("Ours", paying("site")), [machine_id], reason="x")

    with acting(Scope(tenant_id=north.pk, site_wide=False)):
        assert not moves.open_moves()
