"""What machines should be, how what they state differs, and what is written about it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.fleet.reading import MachineDetail, PoolDetail, Stated
from mbongi.fleet.rules.desired import (
    TemplateError,
    changes,
    differences,
    filled,
    redirects,
    same_pool,
    template_values,
    version_changes,
    wanted_of,
)
from mbongi.fleet.rules.stated import stated_of
from mbongi.fleet.values import (
    Abilities,
    ActionKind,
    Desired,
    DesiredFan,
    DesiredField,
    DesiredPool,
    DesiredPower,
    PowerMode,
)

ABLE = Abilities(
    pools_max=3,
    modes=frozenset({PowerMode.NORMAL, PowerMode.LOW, PowerMode.HIGH}),
    power_limit=True,
    fan=True,
    hostname=True,
)
POOL = DesiredPool(url="stratum+tcp://pool.example:3333", user="{account}.{group}-{position}")
PLACE = {"hall": 20, "rack": 3, "slot": 7}


def values(**changed):
    facts = {"machine_id": 5, "account": "acct", "group": "Hall A", "serial": "SN 1", "mac": "AA:BB:CC:DD:EE:FF"}
    return template_values(**(facts | PLACE | changed))


def found(desired, stated, *, owner=0, abilities=ABLE, **changed):
    return differences(
        wanted_of(desired, values(account=desired.account, **changed)), stated, owner=owner, abilities=abilities
    )


def planned(desired, stated, *, abilities=ABLE, slept_by_profile=False, **changed):
    wanted = wanted_of(desired, values(account=desired.account, **changed))
    told = differences(wanted, stated, owner=0, abilities=abilities)
    return changes(wanted, told, abilities, slept_by_profile=slept_by_profile)


def test_a_template_is_filled_from_position_group_and_account():
    assert filled("{account}.{group}-{position}", values()) == "acct.Hall-A-20-03-07"
    assert filled("{account}.{mac}x{serial}x{id}", values()) == "acct.aabbccddeeffxSN-1x5"


@pytest.mark.parametrize(
    "template", ["{", "{nobody}", "{account!r}", "{id:>5}", "{}", "{account.__class__}", "{id[0]}"]
)
def test_a_template_that_says_more_than_a_field_is_refused(template):
    with pytest.raises(TemplateError):
        filled(template, values())


def test_a_machine_without_a_position_has_no_name_made_of_it_and_is_not_known_to_be_wrong():
    desired = Desired(account="acct", pools=(POOL,), hostname="m-{slot}")
    stated = Stated(pools=((POOL.url, "acct.other"),), hostname="old")

    told = found(desired, stated, slot=None)

    assert [(each.field, each.known) for each in told] == [(DesiredField.POOLS, False), (DesiredField.HOSTNAME, False)]
    assert [each.why_not for each in planned(desired, stated, slot=None)] == ["template", "template"]


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_nothing_that_machines_or_people_wrote_can_break_a_worker_name(group, serial, mac):
    name = filled("acct.{id}x", values()) + "".join(
        values(group=group, serial=serial)[key] for key in ("group", "serial")
    )
    assert name.isascii()
    assert name.isprintable()
    assert " " not in name
    assert name.count(".") == 1


def test_pools_that_are_as_they_should_be_are_no_difference_however_they_are_written():
    desired = Desired(account="acct", pools=(POOL,))

    assert not found(desired, Stated(pools=(("STRATUM+TCP://Pool.Example:3333/", "acct.Hall-A-20-03-07"),)))
    assert not found(desired, Stated(pools=(("pool.example:3333", "acct.Hall-A-20-03-07"),)))


def test_another_pool_another_worker_and_an_unknown_one_are_told_apart():
    desired = Desired(account="acct", pools=(POOL,))

    (pool,) = found(desired, Stated(pools=(("stratum+tcp://thief.example:3333", "acct.Hall-A-20-03-07"),)))
    (worker,) = found(desired, Stated(pools=((POOL.url, "thief.x"),)))
    (unknown,) = found(desired, Stated())

    assert (pool.field, pool.known) == (DesiredField.POOLS, True)
    assert (worker.field, worker.found, worker.known) == (DesiredField.WORKER, "thief.x", True)
    assert (unknown.field, unknown.known) == (DesiredField.POOLS, False)


def test_a_pool_too_many_is_a_difference():
    extra = ((POOL.url, "acct.Hall-A-20-03-07"), ("stratum+tcp://thief.example:1", "x"))

    assert [each.field for each in found(Desired(account="acct", pools=(POOL,)), Stated(pools=extra))] == ["pools"]


def test_a_family_that_holds_two_pools_is_asked_for_the_first_two():
    pools = tuple(DesiredPool(url=f"stratum+tcp://p{n}.example:1", user="acct.x") for n in (1, 2, 3))
    two, able = tuple((pool.url, "acct.x") for pool in pools[:2]), msgspec.structs.replace(ABLE, pools_max=2)

    assert not found(Desired(pools=pools), Stated(pools=two), abilities=able)
    (change,) = planned(Desired(pools=pools), Stated(pools=two[:1]), abilities=able)
    assert [pool["url"] for pool in change.arguments["pools"]] == [url for url, _user in two]


def test_power_fan_name_firmware_and_owner_that_differ_or_are_unknown():
    desired = Desired(
        power=DesiredPower(mode=PowerMode.LOW), fan=DesiredFan(percent=70), hostname="m{id}", firmware="2.1", owner=4
    )
    right = Stated(mode="Low", fan_auto=False, fan_percent=70.4, hostname="m5", firmware="2.1")

    assert not found(desired, right, owner=4)
    wrong = Stated(mode="normal", fan_auto=True, hostname="x", firmware="2.0")
    assert [(each.field.value, each.found, each.known) for each in found(desired, wrong)] == [
        ("power", "normal", True),
        ("fan", "auto", True),
        ("firmware", "2.0", True),
        ("hostname", "x", True),
        ("owner", "0", True),
    ]
    assert all(not each.known for each in found(desired, Stated(), owner=4))
    assert len(found(desired, Stated(), owner=4)) == 4


def test_a_version_counts_behind_the_firmwares_name_too():
    assert not found(Desired(firmware="24.09"), Stated(firmware="Braiins OS 24.09"))
    assert found(Desired(firmware="4.09"), Stated(firmware="Braiins OS 24.09"))


def test_firmware_counts_by_its_image_too():
    assert not found(Desired(firmware="ab" * 32), Stated(firmware="2.1", image="ab" * 32))


def test_a_power_limit_is_compared_in_watts():
    desired = Desired(power=DesiredPower(target_w=3200))

    assert not found(desired, Stated(power_limit_w=3200.4))
    assert found(desired, Stated(power_limit_w=3300.0))[0].found == "3300 W"


def test_normal_power_is_not_asked_of_a_family_without_modes_but_another_mode_is():
    unable = Abilities(pools_max=2)

    assert not found(Desired(power=DesiredPower(mode=PowerMode.NORMAL)), Stated(), abilities=unable)
    (change,) = planned(Desired(power=DesiredPower(mode=PowerMode.LOW)), Stated(), abilities=unable)
    assert (change.kind, change.why_not) == (None, "unable")


def test_a_sleeping_machine_is_woken_only_where_a_profile_put_it_to_sleep():
    desired, asleep = Desired(power=DesiredPower(mode=PowerMode.LOW)), Stated(mode="sleep")

    assert [each.why_not for each in planned(desired, asleep)] == ["asleep"]
    woken = planned(desired, asleep, slept_by_profile=True)
    assert [each.kind for each in woken] == [ActionKind.WAKE, ActionKind.SET_POWER]
    assert [each.kind for each in planned(Desired(power=DesiredPower(mode=PowerMode.SLEEP)), Stated(mode="low"))] == [
        ActionKind.SLEEP
    ]


def test_what_is_written_is_what_differs_pools_last_and_nothing_else():
    desired = Desired(account="acct", pools=(POOL,), power=DesiredPower(mode=PowerMode.LOW), hostname="m{id}")
    same_pools = ((POOL.url, "acct.Hall-A-20-03-07"),)

    power_only = planned(desired, Stated(pools=same_pools, mode="normal", hostname="m5"))
    assert [(each.kind, each.arguments) for each in power_only] == [(ActionKind.SET_POWER, {"mode": "low"})]
    every = planned(desired, Stated(pools=(), mode="normal", hostname="x"))
    assert [each.kind for each in every] == [ActionKind.SET_HOSTNAME, ActionKind.SET_POWER, ActionKind.SET_POOLS]


STATED = st.builds(
    Stated,
    pools=st.none() | st.lists(st.tuples(st.sampled_from([POOL.url, "stratum+tcp://b:1"]), st.just("u"))).map(tuple),
    mode=st.none() | st.sampled_from(["normal", "low", "sleep"]),
    power_limit_w=st.none() | st.floats(0, 5000),
    fan_auto=st.none() | st.booleans(),
    fan_percent=st.none() | st.floats(0, 100),
    firmware=st.none() | st.just("1"),
    hostname=st.none() | st.just("h"),
)
DESIRED = st.builds(
    Desired,
    account=st.just("acct"),
    pools=st.lists(st.builds(DesiredPool, url=st.just(POOL.url), user=st.just("u")), max_size=1).map(tuple),
    power=st.none() | st.builds(DesiredPower, mode=st.sampled_from(PowerMode)),
    fan=st.none() | st.builds(DesiredFan, percent=st.none() | st.integers(0, 100)),
    firmware=st.sampled_from(["", "1", "2"]),
    hostname=st.sampled_from(["", "h", "i"]),
)


@given(DESIRED, STATED)
def test_each_difference_has_one_answer_and_unknown_is_never_written(desired, stated):
    wanted = wanted_of(desired, values())
    told = differences(wanted, stated, owner=0, abilities=ABLE)
    answers = changes(wanted, told, ABLE)

    assert sorted(name for each in answers for name in each.fields) == sorted(each.field for each in told)
    for each in answers:
        assert (each.kind is None) == bool(each.why_not)
        known = all(difference.known for difference in told if difference.field in each.fields)
        assert known or each.kind is None
    if stated == Stated():
        assert not any(each.known for each in told)


@given(DESIRED)
def test_a_machine_that_states_what_is_wanted_differs_in_nothing(desired):
    mode = None if desired.power is None else desired.power.mode
    percent = None if desired.fan is None else desired.fan.percent
    stated = Stated(
        pools=tuple((pool.url, pool.user) for pool in desired.pools),
        mode=mode,
        fan_auto=percent is None,
        fan_percent=percent,
        firmware=desired.firmware,
        hostname=desired.hostname,
    )
    assert not found(desired, stated)


def test_what_a_machine_states_comes_from_its_detail_and_empty_is_unknown():
    detail = MachineDetail(pools=[PoolDetail(url="a", user="b")], work_mode="low", hostname="m", fan_auto=True)

    assert stated_of(detail) == Stated(pools=(("a", "b"),), mode="low", hostname="m", fan_auto=True)
    assert stated_of(MachineDetail()) == Stated()


def test_a_version_that_changes_who_is_paid_needs_a_second_person_and_no_other_does():
    first = Desired(account="acct", pools=(POOL,), power=DesiredPower(mode=PowerMode.LOW))

    assert redirects(None, first)
    assert not redirects(None, Desired(power=DesiredPower(mode=PowerMode.LOW)))
    assert not redirects(first, msgspec.structs.replace(first, power=None, hostname="m{id}", reassert=True))
    for change in ({"account": "other"}, {"pools": ()}, {"owner": 3}):
        assert redirects(first, msgspec.structs.replace(first, **change))
    turned = DesiredPool(url=POOL.url, user="{account}.other")
    assert redirects(first, msgspec.structs.replace(first, pools=(turned,)))


def test_two_versions_are_compared_field_by_field():
    first = Desired(account="acct", pools=(POOL,))
    second = msgspec.structs.replace(first, pools=(), power=DesiredPower(target_w=3000))

    assert version_changes(first, second) == [
        ("pools.1.url", POOL.url, ""),
        ("pools.1.user", POOL.user, ""),
        ("power.target_w", "", "3000"),
    ]
    assert not version_changes(first, first)


def test_addresses_are_compared_without_regard_to_capitals_of_scheme_and_host():
    assert same_pool("Stratum2+tcp://A:1/Key") == "stratum2+tcp://a:1/Key"
