"""What a list of alarms is worth to those who answer it, against the limits of ISA-18.2. Pure.

Source: ANSI/ISA-18.2-2016, clause 16 (monitoring and assessment), and EEMUA 191: about 6 alarms per operator-hour are
acceptable, 12 the most that is manageable; more than 10 in 10 minutes are a flood, which lasts until fewer than 5 come
in 10 minutes; less than 1 % of the time in flood; 80/15/5 % of low, medium and high priority; the ten most frequent
alarms make less than 5 % of all. A chattering alarm rises three times or more in a minute; a fleeting one is gone
sooner than anybody can answer it; a stale one stands for more than 24 hours.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mbongi.facility.rules.alarm_limits import Priority

ACCEPTABLE_H, MANAGEABLE_H = 6.0, 12.0
FLOOD_SPAN = timedelta(minutes=10)
FLOOD_ABOVE, FLOOD_UNTIL = 10, 5
FLOOD_PERCENT_MAX = 1.0
SHARES = {Priority.LOW: 80.0, Priority.MEDIUM: 15.0, Priority.HIGH: 5.0}
TOP_PERCENT_MAX = 5.0
STALE = timedelta(hours=24)
FLEETING = timedelta(seconds=10)
CHATTERS, CHATTER_SPAN = 3, timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Rise:
    """An alarm rose and somebody was told of it; ``cleared_at`` None: it lasts."""

    alarm_id: int
    at: datetime
    priority: Priority
    cleared_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rates:
    """What a span of time was for its operators. ``hours`` are counts for each hour from its begin."""

    hours: Sequence[int]
    per_operator_hour: float
    most_in_10_min: int
    floods: int
    flood_percent: float
    shares: dict[Priority, float]
    top: Sequence[tuple[int, int]]
    """Ten alarms that rose most often, with how often."""
    top_percent: float
    chattering: Sequence[int]
    fleeting: Sequence[int]

    @property
    def is_acceptable(self) -> bool:
        """Whether the mean rate is."""
        return self.per_operator_hour <= ACCEPTABLE_H

    @property
    def is_manageable(self) -> bool:
        """Whether it is at least manageable."""
        return self.per_operator_hour <= MANAGEABLE_H


def rates(rises: Iterable[Rise], since: datetime, until: datetime, *, operators: int = 1) -> Rates:
    """The figures of a span; ``operators`` (≥ 1) share the alarms."""
    ordered = sorted((each for each in rises if since <= each.at < until), key=lambda each: each.at)
    span_h = max((until - since) / timedelta(hours=1), 1e-9)
    hours = [0] * max(1, -int(-span_h // 1))
    for each in ordered:
        hours[int((each.at - since) / timedelta(hours=1))] += 1
    moments = [each.at for each in ordered]
    floods = _floods(moments, until)
    flooded = sum((end - begin for begin, end in floods), timedelta())
    often = Counter(each.alarm_id for each in ordered)
    top = sorted(often.items(), key=lambda each: (-each[1], each[0]))[:10]
    by_priority = Counter(each.priority for each in ordered)
    total = len(ordered)
    return Rates(
        hours=hours,
        per_operator_hour=total / span_h / operators,
        most_in_10_min=_most(moments),
        floods=len(floods),
        flood_percent=100 * flooded / (until - since),
        shares={each: 100 * by_priority[each] / total if total else 0.0 for each in Priority},
        top=top,
        top_percent=100 * sum(count for _id, count in top) / total if total else 0.0,
        chattering=_chattering(ordered),
        fleeting=sorted(
            {each.alarm_id for each in ordered if each.cleared_at is not None and each.cleared_at - each.at < FLEETING}
        ),
    )


def _most(moments: Sequence[datetime]) -> int:
    most = first = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= FLOOD_SPAN:
            first += 1
        most = max(most, last - first + 1)
    return most


def _floods(moments: Sequence[datetime], until: datetime) -> list[tuple[datetime, datetime]]:
    """From the eleventh alarm within 10 minutes until fewer than five are within 10 minutes."""
    found: list[tuple[datetime, datetime]] = []
    begin: datetime | None = None
    for last, moment in enumerate(moments):
        if begin is not None and last >= FLOOD_UNTIL:
            # Four were left when the fifth before this one fell out of the ten minutes.
            ebb = moments[last - FLOOD_UNTIL] + FLOOD_SPAN
            if ebb <= moment:
                found.append((begin, ebb))
                begin = None
        if begin is None and last >= FLOOD_ABOVE and moment - moments[last - FLOOD_ABOVE] < FLOOD_SPAN:
            begin = moment
    if begin is not None:
        found.append((begin, min(until, moments[-FLOOD_UNTIL] + FLOOD_SPAN)))
    return found


def _chattering(ordered: Sequence[Rise]) -> list[int]:
    times: dict[int, list[datetime]] = {}
    found = set()
    for each in ordered:
        some = times.setdefault(each.alarm_id, [])
        some.append(each.at)
        if len(some) >= CHATTERS and each.at - some[-CHATTERS] <= CHATTER_SPAN:
            found.add(each.alarm_id)
    return sorted(found)
