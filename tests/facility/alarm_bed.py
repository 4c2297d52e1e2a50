"""A small list of definitions and a plant, and a step taken at a stated time."""

from datetime import UTC, datetime, timedelta

from mbongi.facility import alarm_work, alarms
from mbongi.facility.alarm_work import Record, Site
from mbongi.facility.models import AlarmDefinition
from mbongi.facility.rules.alarm_detector import Signal
from mbongi.facility.rules.alarm_flood import Plant
from mbongi.facility.rules.alarm_limits import Supply
from mbongi.facility.rules.alarm_state import Seen

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
UP, OK, UNKNOWN = Seen.ALARM, Seen.NORMAL, Seen.UNKNOWN
TRIP = {
    "title": "Transformer tripped",
    "tag": "tr-*",
    "quantity": "trip",
    "kind": "discrete",
    "limit": 1.0,
    "priority": "high",
    "stops": "power",
    "response": "Look at the protection relay.",
    "consequence": "Dark.",
}
DARK = {
    "title": "Rack without power",
    "tag": "rack-*",
    "quantity": "live",
    "kind": "discrete",
    "limit": 0.0,
    "priority": "medium",
    "follows": ["power"],
    "response": "Look at its PDU.",
}
HOT = {
    "title": "Room hot",
    "tag": "room-*",
    "quantity": "temp_c",
    "kind": "hi",
    "limit": 30.0,
    "dead_band": 1.0,
    "on_delay_s": 30,
    "off_delay_s": 60,
    "unit": "°C",
}
PLANT = Plant([("tr-1", f"rack-{rack}", Supply.POWER) for rack in range(1, 5)])


def at(seconds=0.0):
    return T0 + timedelta(seconds=seconds)


def define(user):
    """The three definitions and the built-in ones; their numbers by key."""
    alarms.ensure_built_in()
    for key, document in (("trip", TRIP), ("dark", DARK), ("hot", HOT)):
        alarms.write_definition(user, key, document, reason="the list")
    return dict(AlarmDefinition.objects.values_list("key", "pk"))


class Bed:
    """Steps with signals at stated seconds."""

    def __init__(self, user, plant=PLANT, **asks):
        self.numbers, self.seq = define(user), 0
        self.site = Site(plant, **asks)

    def record(self, *signals):
        """A record of ``(key, tag, seen, seconds)``."""
        self.seq += 1
        made = (
            Signal(self.numbers[key], tag, seen, 1.0, int(at(s).timestamp() * 1000)) for key, tag, seen, s in signals
        )
        return Record(self.seq, tuple(made))

    def step(self, seconds, *signals):
        """One step at a time with these signals."""
        records = [self.record(*signals)] if signals else []
        return alarm_work.step("spool", records, self.site, now=at(seconds))
