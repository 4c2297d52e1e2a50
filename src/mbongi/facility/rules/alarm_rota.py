"""Who is told of an alarm, when, and by what: shifts of people and the steps of escalation. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum

import msgspec

from mbongi.facility.rules.alarm_limits import RANK, Priority


class Channel(StrEnum):
    """How somebody is told."""

    EMAIL = "email"
    SMS = "sms"
    WEBHOOK = "webhook"


class Duty(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person of one shift, told ``after_min`` minutes after an alarm was announced if nobody has answered it.

    ``days``: letters of the week's days from 1, Monday. ``begins`` and ``ends`` are the site's time, ``HH:MM``; a shift
    whose end is not after its begin ends the next day. Told of ``priority`` and what is more urgent.
    """

    name: str
    channel: Channel
    address: str
    days: str = "1234567"
    begins: str = "00:00"
    ends: str = "00:00"
    after_min: int = 0
    priority: Priority = Priority.MEDIUM
    language: str = "fr"

    def is_on(self, at: datetime) -> bool:
        """Whether the shift is on at a moment, in the site's time."""
        begins, ends = time.fromisoformat(self.begins), time.fromisoformat(self.ends)
        now = at.time()
        if begins < ends:
            return str(at.isoweekday()) in self.days and begins <= now < ends
        if now >= begins:
            return str(at.isoweekday()) in self.days
        return now < ends and str((at - timedelta(days=1)).isoweekday()) in self.days


class Rota(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All duties."""

    duties: tuple[Duty, ...] = ()

    @property
    def steps(self) -> list[int]:
        """The steps of escalation [min], ascending."""
        return sorted({duty.after_min for duty in self.duties})

    def told(self, step: int, priority: Priority, at: datetime) -> list[Duty]:
        """Whom a step tells of an alarm of that priority. Empty where nobody is on duty: the next step follows."""
        if step >= len(self.steps):
            return []
        minutes = self.steps[step]
        return [
            duty
            for duty in self.duties
            if duty.after_min == minutes and RANK[priority] <= RANK[duty.priority] and duty.is_on(at)
        ]

    def due_at(self, step: int, announced_at: datetime) -> datetime | None:
        """When a step is due; None: there is none."""
        steps = self.steps
        return announced_at + timedelta(minutes=steps[step]) if step < len(steps) else None


def faults_of(rota: Rota) -> list[str]:
    """What of a rota cannot be, as texts that name the person; empty: it may be used."""
    found = []
    for duty in rota.duties:
        found += [f"{duty.name or '?'}: {fault}" for fault in _faults(duty)]
    return found


def _faults(duty: Duty) -> Sequence[str]:
    faults = [name for name in ("name", "address") if not getattr(duty, name).strip() or "\n" in getattr(duty, name)]
    if not duty.days or not set("1234567").issuperset(duty.days):
        faults.append("days")
    for name in ("begins", "ends"):
        try:
            time.fromisoformat(getattr(duty, name))
        except ValueError:
            faults.append(name)
    if not 0 <= duty.after_min <= 1440:
        faults.append("after_min")
    if duty.channel is Channel.EMAIL and duty.address.count("@") != 1:
        faults.append("address")
    if duty.channel is Channel.WEBHOOK and not duty.address.startswith(("http://", "https://")):
        faults.append("address")
    if duty.language not in {"fr", "en"}:
        faults.append("language")
    return faults


def retry_after(tries: int) -> timedelta:
    """How long a notice that was not taken waits for its next try: 10 s, twice as long each time, at most 10 min."""
    return timedelta(seconds=min(10 * 2 ** min(tries, 10), 600))


TRIES_MAX = 200
"""More than a day of tries; then it is given up, and the list of notices says so."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A notice that is to be sent now. ``key`` stays the same when it is sent again; ``alarms`` are ids."""

    id: int
    key: str
    channel: Channel
    address: str
    subject: str
    text: str
    alarms: Sequence[int]
    tries: int
