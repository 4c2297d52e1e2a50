"""Months and days at the site, as half-open spans of seconds since 1970 (UTC). Pure.

A day lasts from its midnight at the site to the next one: 23 or 25 hours where the clocks change.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

Span = tuple[int, int]
"""From the first second, until before the second one."""


@dataclass(frozen=True, slots=True)
class Day:
    """One day at the site."""

    day: date
    since: int
    until: int


def midnight(day: date, zone: str) -> int:
    """The first second of a day at the site."""
    return int(datetime.combine(day, time(), ZoneInfo(zone)).timestamp())


def month_of(month: str) -> tuple[date, date]:
    """The first days of a month (2026-11) and of the next one. Raises ValueError."""
    first = date.fromisoformat(f"{month}-01")
    return first, (first + timedelta(days=31)).replace(day=1)


def month_span(month: str, zone: str) -> Span:
    """A month at the site. Raises ValueError for what is none."""
    first, after = month_of(month)
    return midnight(first, zone), midnight(after, zone)


def days_of(span: Span, zone: str) -> Iterator[Day]:
    """The days at the site that a span touches, whole."""
    day = datetime.fromtimestamp(span[0], ZoneInfo(zone)).date()
    while (since := midnight(day, zone)) < span[1]:
        following = day + timedelta(days=1)
        yield Day(day, since, midnight(following, zone))
        day = following


def contract_span(starts: str, ends: str | None, zone: str) -> Span:
    """The time that a contract runs, by its dates at the site."""
    until = 2**40 if ends is None else midnight(date.fromisoformat(ends), zone)
    return midnight(date.fromisoformat(starts), zone), until


def overlap(one: Span, other: Span) -> Span | None:
    """What two spans have in common; None where that is nothing."""
    since, until = max(one[0], other[0]), min(one[1], other[1])
    return (since, until) if since < until else None


def merged(spans: list[Span]) -> list[Span]:
    """The same seconds as spans that neither overlap nor touch, in order."""
    result: list[Span] = []
    for since, until in sorted(spans):
        if since >= until:
            continue
        if result and since <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], until))
        else:
            result.append((since, until))
    return result


def split(spans: list[Span], by: list[Span]) -> tuple[list[Span], list[Span]]:
    """What of ``spans`` lies within ``by``, and what without; both are given merged, and come so."""
    within: list[Span] = []
    without: list[Span] = []
    place = 0
    for since, until in spans:
        at = since
        while place < len(by) and by[place][1] <= at:
            place += 1
        for common in by[place:]:
            if common[0] >= until:
                break
            if at < common[0]:
                without.append((at, common[0]))
            within.append((max(at, common[0]), min(until, common[1])))
            at = within[-1][1]
        if at < until:
            without.append((at, until))
    return within, without


def seconds(spans: list[Span]) -> int:
    """How long spans that do not overlap last together."""
    return sum(until - since for since, until in spans)
