"""Groups and their profiles: who may write and decide, what waits for a second person, what the ledger says."""

import pytest
from django.db import IntegrityError, transaction

from mbongi.core.identity.scope import SITE, Scope, acting
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import group_rows, groups, services
from mbongi.fleet.errors import (
    ActionRefusedError,
    NotPermittedError,
    ProfileRefusedError,
    UnknownGroupError,
    UnknownMachineError,
)
from mbongi.fleet.models import Group, Profile
from mbongi.fleet.values import ActionKind, Desired, DesiredPool, DesiredPower, PowerMode, ProfileState
from tests.fleet.rows import add_machines

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]
POOLS = Desired(
    account="acct", pools=(DesiredPool(url="stratum+tcp://pool.example:3333", user="{account}.{group}-{position}"),)
)
POWER = Desired(power=DesiredPower(mode=PowerMode.LOW))


@pytest.fixture
def hall(lead):
    return groups.add_group(lead, "Hall A", reason="new hall")


def verbs(group_id):
    return [entry.action for entry in reversed(ledger.entries(subject=f"group:{group_id}"))]


def test_a_version_that_changes_no_payee_is_active_as_soon_as_it_is_proposed(lead, hall):
    draft = groups.write_profile(lead, hall.id, POWER, reason="heat")
    assert (draft.number, draft.state, draft.needs_second) == (1, ProfileState.DRAFT, False)

    assert groups.propose_profile(lead, draft.id).state is ProfileState.ACTIVE

    assert group_rows.group(hall.id).active == 1
    assert verbs(hall.id) == ["fleet.group.add", "fleet.profile.write", "fleet.profile.activate"]


def test_a_change_of_pools_waits_for_a_second_person_and_says_what_it_changes(lead, hall, people):
    draft = groups.write_profile(lead, hall.id, POOLS, reason="own pool")
    proposed = groups.propose_profile(lead, draft.id)
    assert (proposed.state, proposed.needs_second) == (ProfileState.PROPOSED, True)
    assert ("account", "", "acct") in proposed.changes
    assert group_rows.group(hall.id).active is None

    active = groups.approve_profile(people(Role.SITE_MANAGER), proposed.id, reason="agreed")

    assert (active.state, active.decision) == (ProfileState.ACTIVE, "agreed")
    entry = ledger.entries(subject=f"group:{hall.id}", limit=1)[0]
    assert (entry.action, entry.reason) == ("fleet.profile.activate", "agreed")
    assert entry.after["author"] == lead.actor
    assert entry.actor != lead.actor


def test_nobody_approves_their_own_version(people, hall):
    manager = people(Role.SITE_MANAGER)
    proposed = groups.propose_profile(manager, groups.write_profile(manager, hall.id, POOLS, reason="x").id)

    with pytest.raises(ProfileRefusedError, match="somebody else"):
        groups.approve_profile(manager, proposed.id, reason="me")
    assert group_rows.profile(proposed.id).state is ProfileState.PROPOSED


def test_nobody_takes_anothers_draft_for_their_own(people, lead, hall):
    draft = groups.write_profile(lead, hall.id, POOLS, reason="x")

    with pytest.raises(ProfileRefusedError, match="did not write it"):
        groups.propose_profile(people(Role.SITE_MANAGER), draft.id)


@pytest.mark.parametrize("role", [Role.TECHNICIAN, Role.AUDITOR, Role.TRAINEE, Role.SECURITY_OFFICER, Role.RESEARCHER])
def test_roles_without_the_permission_write_no_profile(people, hall, role):
    with pytest.raises(NotPermittedError):
        groups.write_profile(people(role), hall.id, POWER, reason="x")
    with pytest.raises(NotPermittedError):
        groups.add_group(people(role), "Other", reason="x")
    with pytest.raises(NotPermittedError):
        groups.put_machines(people(role), hall.id, [1], reason="x")


def test_a_shift_lead_approves_nothing(people, lead, hall):
    proposed = groups.propose_profile(lead, groups.write_profile(lead, hall.id, POOLS, reason="x").id)

    with pytest.raises(NotPermittedError):
        groups.approve_profile(people(Role.SHIFT_LEAD), proposed.id, reason="x")


def test_while_one_version_is_proposed_no_other_is_written_and_a_draft_is_replaced(people, lead, hall):
    first = groups.write_profile(lead, hall.id, POWER, reason="x")
    second = groups.write_profile(lead, hall.id, POOLS, reason="better")
    assert group_rows.profile(first.id).state is ProfileState.REFUSED
    groups.propose_profile(lead, second.id)

    with pytest.raises(ProfileRefusedError, match="proposed"):
        groups.write_profile(lead, hall.id, POWER, reason="x")

    groups.refuse_profile(people(Role.SECURITY_OFFICER), second.id, reason="unknown pool")
    assert groups.write_profile(lead, hall.id, POWER, reason="x").number == 3
    with pytest.raises(ProfileRefusedError, match="refused"):
        groups.approve_profile(people(Role.SITE_MANAGER), second.id, reason="x")


def test_an_author_withdraws_and_a_new_version_supersedes_the_active_one(people, lead, hall):
    first = groups.propose_profile(lead, groups.write_profile(lead, hall.id, POWER, reason="x").id)
    other = groups.write_profile(lead, hall.id, Desired(power=DesiredPower(target_w=3000)), reason="y")
    assert groups.refuse_profile(lead, other.id, reason="a slip").state is ProfileState.REFUSED

    third = groups.propose_profile(lead, groups.write_profile(lead, hall.id, Desired(), reason="z").id)

    states = [(row.number, row.state) for row in group_rows.profiles(hall.id)]
    assert states == [(3, ProfileState.ACTIVE), (2, ProfileState.REFUSED), (1, ProfileState.SUPERSEDED)]
    assert (third.former, third.changes) == (1, [("power.mode", "low", "")])
    assert first.state is ProfileState.ACTIVE


def test_the_database_itself_holds_one_active_version_and_unchanging_numbers(lead, hall):
    active = groups.propose_profile(lead, groups.write_profile(lead, hall.id, POWER, reason="x").id)
    row = Profile.objects.get(pk=active.id)
    row.pk, row.number = None, 2
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save(force_insert=True)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"pools": [{"url": "http://a", "user": "u"}]}, "no pool address"),
        ({"pools": [{"url": "stratum+tcp://a:1", "user": "u", "password": "p"}]}, "password"),
        ({"pools": [{"url": "stratum+tcp://a:1", "user": "{account}.x"}]}, "account"),
        ({"pools": [{"url": "stratum+tcp://a:1", "user": "{serial}.x"}]}, "before the first point"),
        ({"pools": [{"url": "stratum+tcp://a:1", "user": "x{mac}"}]}, "before the first point"),
        ({"pools": [{"url": "stratum+tcp://a:1", "user": "a.{nobody}"}]}, "template"),
        ({"pools": [{"url": f"stratum+tcp://a{n}:1", "user": "u"} for n in range(4)]}, "between 1 and 3"),
        ({"account": "a b"}, "without spaces"),
        ({"power": {}}, "not both"),
        ({"power": {"mode": "low", "target_w": 3000}}, "not both"),
        ({"power": {"target_w": 5}}, "between"),
        ({"power": {"mode": "turbo"}}, "turbo"),
        ({"fan": {"percent": 101}}, "100 %"),
        ({"hostname": "a b"}, "letters, digits and hyphens"),
        ({"hostname": "-x"}, "letters, digits and hyphens"),
        ({"limits": {"batch": 0}}, "above zero"),
        ({"limits": {"ramp_kw_s": 0}}, "above zero"),
        ({"colour": "red"}, "colour"),
        ({"owner": 999}, "tenant"),
    ],
)
def test_a_document_that_cannot_be_used_is_refused_with_what_is_wrong(lead, hall, document, text):
    with pytest.raises(ProfileRefusedError) as refusal:
        groups.write_profile(lead, hall.id, document, reason="x")

    assert text in refusal.value.text
    assert not Profile.objects.exists()


@pytest.mark.parametrize("name", ["", " ", "x" * 61, "a\nb", "{id}", "hall a", "--"])
def test_a_groups_name_is_checked(lead, hall, name):
    with pytest.raises(ProfileRefusedError):
        groups.add_group(lead, name, reason="x")


def test_reasons_and_groups_must_be_there(lead, hall):
    with pytest.raises(ProfileRefusedError, match="no reason"):
        groups.write_profile(lead, hall.id, POWER, reason=" ")
    with pytest.raises(UnknownGroupError):
        groups.write_profile(lead, hall.id + 1, POWER, reason="x")


def test_machines_are_put_into_a_group_each_in_the_ledger_and_out_again(lead, hall):
    ids = add_machines(3)

    assert groups.put_machines(lead, hall.id, ids, reason="hall A") == groups.Put(3, 0)
    assert groups.put_machines(lead, hall.id, ids, reason="again") == groups.Put(0, 0)
    assert group_rows.group(hall.id).machines == 3
    entry = ledger.entries(subject=f"machine:{ids[0]}", limit=1)[0]
    assert (entry.action, entry.before, entry.after) == ("fleet.machine.group", {"group": None}, {"group": hall.id})

    assert groups.put_machines(lead, None, ids[:1], reason="moved").changed == 1
    assert group_rows.group(hall.id).machines == 2
    with pytest.raises(UnknownMachineError):
        groups.put_machines(lead, hall.id, [ids[0], 999_999], reason="x")
    assert group_rows.group(hall.id).machines == 2


def test_what_machines_should_be_has_their_own_names_and_says_nothing_of_machines_without_a_profile(people, lead, hall):
    ids = add_machines(2)
    groups.put_machines(lead, hall.id, ids[:1], reason="x")
    assert not group_rows.wanted_by_machine()
    proposed = groups.propose_profile(lead, groups.write_profile(lead, hall.id, POOLS, reason="x").id)
    groups.approve_profile(people(Role.SITE_MANAGER), proposed.id, reason="x")

    wanted = group_rows.wanted_by_machine()

    assert list(wanted) == ids[:1]
    assert wanted[ids[0]].pools == (("stratum+tcp://pool.example:3333", "acct.Hall-A-20-03-01"),)


def test_a_group_is_paused_and_goes_on(lead, hall):
    assert groups.change_group(lead, hall.id, paused=True, reason="works").paused
    assert not groups.change_group(lead, hall.id, paused=False, note="cool", reason="done").paused
    assert group_rows.group(hall.id).note == "cool"
    assert verbs(hall.id)[-2:] == ["fleet.group.change"] * 2


def test_tenants_see_their_own_groups_and_versions_only(people, lead, hall, tenant):
    north = tenant("north")
    proposed = groups.propose_profile(lead, groups.write_profile(lead, hall.id, {"owner": north.pk}, reason="x").id)
    with acting(Scope(tenant_id=north.pk, site_wide=False)):
        assert not group_rows.groups()
    with acting(SITE):
        groups.approve_profile(people(Role.SITE_MANAGER), proposed.id, reason="x")

    with acting(Scope(tenant_id=north.pk, site_wide=False)):
        assert [row.id for row in group_rows.groups()] == [hall.id]
        assert [row.number for row in group_rows.profiles(hall.id)] == [1]
    with acting(Scope(tenant_id=north.pk + 1, site_wide=False)):
        assert not Group.objects.exists()
        assert not Profile.objects.exists()


def test_pools_that_a_profile_says_are_set_by_nobody_alone_and_all_else_by_hand_as_before(people, lead, hall):
    inside, outside = add_machines(2)
    groups.put_machines(lead, hall.id, [inside], reason="x")
    hand = {"pools": [{"url": "stratum+tcp://other.example:1", "user": "u"}]}
    (row,) = services.request_action(lead, [inside], ActionKind.SET_POOLS, hand, reason="x")
    services.cancel_action(lead, row.id, reason="x")
    proposed = groups.propose_profile(lead, groups.write_profile(lead, hall.id, POOLS, reason="x").id)
    groups.approve_profile(people(Role.SITE_MANAGER), proposed.id, reason="x")

    with pytest.raises(ActionRefusedError, match="profile of group"):
        services.request_action(lead, [outside, inside], ActionKind.SET_POOLS, hand, reason="x")
    assert services.request_action(lead, [outside], ActionKind.SET_POOLS, hand, reason="x")
    assert services.request_action(lead, [inside], ActionKind.SET_POOLS, hand, reason="x", dry_run=True)
