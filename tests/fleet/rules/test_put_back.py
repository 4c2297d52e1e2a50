"""What is written so that a machine is set again as before its flash. Expected writes worked out by hand."""

from mbongi.fleet.reading import Stated
from mbongi.fleet.rules.put_back import put_back
from mbongi.fleet.values import Abilities, ActionKind, PowerMode

ALL = Abilities(
    pools_max=3, modes=frozenset({PowerMode.NORMAL, PowerMode.LOW}), power_limit=True, fan=True, hostname=True
)
OURS, THIEF = (("stratum+tcp://pool.example:3333", "acct.1"),), (("stratum+tcp://thief.example:1", "t"),)
BEFORE = Stated(pools=OURS, mode="Low", power_limit_w=3200.0, fan_auto=True, hostname="m-01")


def writes(before, now, abilities=ALL):
    return [(change.kind, change.arguments) for change in put_back(before, now, abilities)]


def test_a_machine_that_is_set_as_before_needs_nothing():
    assert writes(BEFORE, BEFORE) == []


def test_everything_that_an_image_changed_is_written_back():
    now = Stated(pools=THIEF, mode="normal", power_limit_w=3600.0, fan_auto=False, fan_percent=100.0, hostname="x")
    assert writes(BEFORE, now) == [
        (ActionKind.SET_HOSTNAME, {"hostname": "m-01"}),
        (ActionKind.SET_FAN, {"percent": None}),
        (ActionKind.SET_POWER, {"mode": "low"}),
        (ActionKind.SET_POOLS, {"pools": [{"url": OURS[0][0], "user": "acct.1"}]}),
        (ActionKind.SET_POWER, {"target_w": 3200}),
    ]


def test_a_fixed_fan_comes_back_with_its_duty():
    before = Stated(fan_auto=False, fan_percent=70.4)
    assert writes(before, Stated(fan_auto=True)) == [(ActionKind.SET_FAN, {"percent": 70})]
    assert writes(before, Stated(fan_auto=False, fan_percent=70.0)) == []
    assert writes(Stated(fan_auto=False), Stated(fan_auto=True)) == []


def test_what_was_not_stated_before_is_left_and_what_is_not_stated_now_is_written():
    assert writes(Stated(), Stated(pools=THIEF, mode="low", hostname="x")) == []
    assert writes(Stated(pools=OURS, hostname="m-01"), Stated()) == [
        (ActionKind.SET_HOSTNAME, {"hostname": "m-01"}),
        (ActionKind.SET_POOLS, {"pools": [{"url": OURS[0][0], "user": "acct.1"}]}),
    ]


def test_what_a_family_cannot_be_told_is_said_where_it_is_known_to_differ():
    few = Abilities(pools_max=3)
    found = put_back(Stated(pools=OURS, hostname="m-01"), Stated(pools=OURS, hostname="x"), few)
    assert [(change.kind, change.why_not) for change in found] == [(None, "unable")]
    assert put_back(Stated(pools=OURS, hostname="m-01"), Stated(pools=OURS), few) == []


def test_a_machine_that_sleeps_now_is_not_woken():
    found = put_back(Stated(mode="low"), Stated(mode="sleep"), ALL)
    assert [(change.kind, change.why_not) for change in found] == [(None, "asleep")]
