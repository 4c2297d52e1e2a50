"""What drifts on a machine, in conditions: the sides of each comparison, and what is not known."""

import pytest

from mbongi.base.ids import MachineId
from mbongi.fleet.reading import MachineDetail, PoolDetail, Stated
from mbongi.fleet.rules.conditions import Watch
from mbongi.fleet.rules.desired import template_values, wanted_of
from mbongi.fleet.rules.drift import InUse, drift_of, in_use, is_wanted, shown_url
from mbongi.fleet.values import (
    Abilities,
    Desired,
    DesiredFan,
    DesiredPool,
    DesiredPower,
    EventKind,
    PowerMode,
    SignIn,
)

MACHINE = MachineId(7)
URL, THIEF = "stratum+tcp://pool.example:3333", "stratum+tcp://elsewhere.example:3333"
OURS = InUse(URL, "acct.20-03-01")
ABLE = Abilities(pools_max=3, modes=frozenset({PowerMode.LOW}), power_limit=True, fan=True, hostname=True)
DESIRED = Desired(
    account="acct",
    pools=(DesiredPool(url=URL, user="{account}.{position}"),),
    power=DesiredPower(mode=PowerMode.NORMAL),
    fan=DesiredFan(percent=60),
    firmware="1.2.3",
    hostname="m-{position}",
)
AS_WANTED = Stated(
    pools=((URL, "acct.20-03-01"),),
    mode="normal",
    fan_auto=False,
    fan_percent=60.0,
    firmware="1.2.3",
    hostname="m-20-03-01",
)


def wanted(desired: Desired = DESIRED):
    values = template_values(
        machine_id=7, account=desired.account, group="g", hall=20, rack=3, slot=1, serial="s", mac=""
    )
    return wanted_of(desired, values)


def sight(stated: Stated = AS_WANTED, used: InUse | None = OURS, sign: SignIn = SignIn.OURS, desired=DESIRED):
    return drift_of(MACHINE, wanted(desired), stated, used, ABLE, sign)


def test_a_machine_that_is_as_its_profile_wants_it_drifts_in_nothing():
    found = sight()

    assert (dict(found.drifting), found.unknown) == ({}, frozenset())


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("pools", ((THIEF, "acct.20-03-01"),), EventKind.POOL_DRIFT),
        ("pools", ((URL, "thief"),), EventKind.WORKER_DRIFT),
        ("mode", "high", EventKind.POWER_DRIFT),
        ("fan_percent", 30.0, EventKind.FAN_DRIFT),
        ("firmware", "1.2.4", EventKind.FIRMWARE_DRIFT),
        ("hostname", "m", EventKind.NAME_DRIFT),
    ],
)
def test_each_setting_that_differs_is_a_condition_of_its_own(field, value, kind):
    stated = Stated(**{name: getattr(AS_WANTED, name) for name in AS_WANTED.__struct_fields__} | {field: value})

    assert set(sight(stated).drifting) == {kind}


def test_what_a_machine_does_not_state_is_unknown_and_no_drift():
    found = sight(Stated(), None, SignIn.UNKNOWN)

    assert not found.drifting
    assert found.unknown == {
        EventKind.POOL_DRIFT,
        EventKind.WORKER_DRIFT,
        EventKind.POWER_DRIFT,
        EventKind.FAN_DRIFT,
        EventKind.FIRMWARE_DRIFT,
        EventKind.NAME_DRIFT,
        EventKind.CREDENTIALS_DRIFT,
    }


def test_a_machine_whose_settings_are_ours_but_that_works_for_another_pool_drifts():
    """A firmware that lies, or a pool that sends it on."""
    assert set(sight(used=InUse(THIEF, "acct.20-03-01")).drifting) == {EventKind.POOL_DRIFT}
    assert set(sight(used=InUse(URL, "thief")).drifting) == {EventKind.WORKER_DRIFT}
    assert not sight(used=InUse("STRATUM+TCP://Pool.Example:3333", "acct.20-03-01")).drifting


def test_a_machine_that_sleeps_has_no_power_drift_unless_it_should_sleep_and_does_not():
    asleep = sight(Stated(pools=AS_WANTED.pools, mode="sleep"))
    assert EventKind.POWER_DRIFT not in asleep.drifting
    assert EventKind.POWER_DRIFT in asleep.unknown

    to_sleep = Desired(power=DesiredPower(mode=PowerMode.SLEEP))
    assert set(sight(AS_WANTED, desired=to_sleep).drifting) == {EventKind.POWER_DRIFT}


@pytest.mark.parametrize(("sign", "drifts"), [(SignIn.OURS, False), (SignIn.REFUSED, True), (SignIn.FACTORY, True)])
def test_a_password_that_is_refused_or_still_the_factorys_is_told(sign, drifts):
    assert (EventKind.CREDENTIALS_DRIFT in sight(sign=sign).drifting) is drifts


def test_without_a_profile_nothing_drifts_and_what_did_clears():
    watch = Watch()
    assert [each.opened for each in watch.drift([sight(used=InUse(THIEF, "x"))], 1000)] == [True]

    gone = drift_of(MACHINE, None, AS_WANTED, None, ABLE, SignIn.UNKNOWN)

    assert [(each.kind, each.opened) for each in watch.drift([gone], 2000)] == [(EventKind.POOL_DRIFT, False)]


def test_drift_opens_at_the_poll_that_shows_it_lasts_while_nothing_is_known_and_clears_when_the_machine_is_back():
    watch = Watch()
    stolen = sight(Stated(pools=((THIEF, "x"),)), InUse(THIEF, "x"))

    (opened,) = watch.drift([stolen], 1000)
    assert (opened.kind, opened.opened, opened.at_ms) == (EventKind.POOL_DRIFT, True, 1000)
    assert THIEF in str(opened.params["found"])
    assert URL in str(opened.params["wanted"])
    assert not watch.drift([stolen, sight(Stated(), None, SignIn.UNKNOWN)], 2000)
    assert [(each.kind, each.opened) for each in watch.drift([sight()], 3000)] == [(EventKind.POOL_DRIFT, False)]


def test_the_pool_in_use_is_the_active_one_and_none_where_the_machine_does_not_say():
    pools = [PoolDetail(url=URL, user="a", active=False), PoolDetail(url=THIEF, user="b", active=True)]

    assert in_use(MachineDetail(pools=pools)) == InUse(THIEF, "b")
    assert in_use(MachineDetail(pools=[PoolDetail(url=URL, user="a")])) is None
    assert is_wanted(InUse(URL, "acct.20-03-01"), wanted(Desired())) is None


def test_no_password_of_an_address_is_shown():
    assert shown_url("stratum+tcp://me:secret@Pool.example:3333") == "stratum+tcp://pool.example:3333"
    found = sight(Stated(pools=(("stratum+tcp://me:secret@pool.example:9", "x"),)), None)
    assert "secret" not in str(found.drifting)
