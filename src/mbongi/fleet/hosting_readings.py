"""What contracts' machines did, day by day: read from telemetry while its rows are there, and kept for good."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
from django.db import transaction

from mbongi.core.telemetry.client import Store
from mbongi.fleet.hosting_rows import contracts, governing, memberships
from mbongi.fleet.models import Contract, HostedDay
from mbongi.fleet.rules.hosting import Readings, Seen, seen
from mbongi.fleet.rules.hosting_days import Day, Span, days_of, month_span, overlap
from mbongi.fleet.telemetry import READING

AT_ONCE = 50
"""Machines of one question to the store: a day of them is half a million rows."""
SETTLE_S = 6 * 3600
"""How long after a day its rows may still come, from behind a link that was down; what is read later is final."""
FIRST_S = 300
"""A day that is over is read for the first time after so long."""
TODAY_S = 900
"""Today is read anew this often at most, and the more seldom the more machines there are."""
TODAY_MACHINES = 500
"""As many more machines make it as long again."""
SLACK_S = 3600
"""A row may stand for time before it; longer than this none does."""


@dataclass(frozen=True, slots=True)
class Window:
    """A machine's time under contract on one day at the site."""

    machine_id: int
    day: Day
    span: Span


def windows(
    contract_id: int,
    month: str,
    zone: str,
    until: int | None = None,
    since: int = 0,
    only: Collection[int] | None = None,
) -> list[Window]:
    """Every machine's time under the contract in a month, day by day; nothing from ``until`` on.

    Days that end at ``since`` or before are left out, and so are other machines than ``only``, where these are given.

    Empty where no version governs the month.
    """
    found = governing(contract_id, month)
    if found is None:
        return []
    span = month_span(month, zone)
    members = memberships(contract_id, found[1], (span[0], min(span[1], until or span[1])), zone)
    days = [day for day in days_of(span, zone) if day.until > since]
    return [
        Window(machine_id, day, common)
        for day in days
        for machine_id, own in members
        if only is None or machine_id in only
        if (common := overlap(own, (day.since, day.until))) is not None
    ]


def unread(contract_id: int, wanted: Sequence[Window], now: int, *, at_once: bool = False) -> list[Window]:
    """Those of the windows that are to be read now.

    ``at_once``: whatever is not final; else not before FIRST_S, then once more after SETTLE_S, today every TODAY_S.
    """
    days = {window.day.day for window in wanted}
    today_s = TODAY_S * (1 + sum(now < window.day.until for window in wanted) // TODAY_MACHINES)
    known = {
        (row.machine_id, int(row.since.timestamp())): (int(row.until.timestamp()), int(row.read_at.timestamp()))
        for row in HostedDay.objects.filter(contract_id=contract_id, day__in=days).defer("runs")
    }
    return [
        window
        for window in wanted
        if _is_due(window, known.get((window.machine_id, window.span[0])), now, today_s, at_once=at_once)
    ]


def _is_due(window: Window, kept: tuple[int, int] | None, now: int, today_s: int, *, at_once: bool) -> bool:
    over = window.day.until
    if kept is None:
        return at_once or now < over or now >= over + FIRST_S
    until, read_at = kept
    if now < over:
        return now - read_at >= today_s
    if until != window.span[1]:
        return at_once or now >= over + FIRST_S
    if read_at >= over + SETTLE_S:
        return False
    return at_once or now >= over + SETTLE_S


def read(contract_id: int, wanted: Sequence[Window], store: Store, now: int) -> int:
    """Read the windows from telemetry and keep what they say; returns how many. Nothing from ``now`` on is read.

    Raises StoreUnavailable, StoreRefused; what was kept until then stays.
    """
    tenant_id = Contract.objects.values_list("tenant_id", flat=True).get(pk=contract_id)
    by_day: dict[Day, list[Window]] = defaultdict(list)
    for window in wanted:
        if window.span[0] < now:
            by_day[window.day].append(window)
    for day, own in by_day.items():
        for first in range(0, len(own), AT_ONCE):
            part = own[first : first + AT_ONCE]
            rows = rows_of_day(store, sorted({window.machine_id for window in part}), (day.since, min(day.until, now)))
            found = [(window, _seen(rows, window, now)) for window in part]
            _keep(contract_id, tenant_id, day.day, found, now)
    return sum(map(len, by_day.values()))


def _seen(rows: dict[int, Readings], window: Window, now: int) -> tuple[Span, Seen]:
    span = (window.span[0], min(window.span[1], now))
    return span, seen(rows.get(window.machine_id, NOTHING), span)


def rows_of_day(store: Store, machine_ids: Sequence[int], span: Span) -> dict[int, Readings]:
    """The rows of telemetry that speak of ``span``, by machine; a machine without any is left out.

    Raises StoreUnavailable, StoreRefused.
    """
    found = store.columns(
        "SELECT machine_id, toUnixTimestamp(ts) AS end_s, span_s, state, hashrate_ths, power_w, pool_side_ths"  # noqa: S608
        f" FROM {READING.name} WHERE machine_id IN {{machines:Array(UInt32)}}"
        " AND ts >= fromUnixTimestamp64Milli({since:Int64}) AND ts < fromUnixTimestamp64Milli({until:Int64})"
        " ORDER BY machine_id, ts",
        machines=list(machine_ids),
        since=span[0] * 1000,
        until=(span[1] + SLACK_S) * 1000,
    )
    if not found or not len(found["machine_id"]):
        return {}
    ids = found["machine_id"].astype(np.int64)
    edges = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1], True])
    return {
        int(ids[first]): Readings(
            end_s=found["end_s"][first:last].astype(np.int64),
            span_s=found["span_s"][first:last].astype(np.float64),
            state=found["state"][first:last].astype(np.int64),
            ths=found["hashrate_ths"][first:last].astype(np.float64),
            power_w=found["power_w"][first:last].astype(np.float64),
            pool_ths=found["pool_side_ths"][first:last].astype(np.float64),
        )
        for first, last in itertools.pairwise(edges)
    }


_NONE = np.zeros(0)
NOTHING = Readings(_NONE.astype(np.int64), _NONE, _NONE.astype(np.int64), _NONE, _NONE, _NONE)
"""A machine of which there is no row."""
_FIGURES = ("until", "runs", "hash_milli", "energy_wh", "power_s", "pool_milli", "read_at")


@transaction.atomic
def _keep(
    contract_id: int, tenant_id: int, day: date, found: Sequence[tuple[Window, tuple[Span, Seen]]], now: int
) -> None:
    machine_ids = {window.machine_id for window, _what in found}
    starts = {(window.machine_id, window.span[0]) for window, _what in found}
    kept = HostedDay.objects.filter(contract_id=contract_id, day=day, machine_id__in=machine_ids).defer("runs")
    # A machine that joined or left at another moment than was thought: what was read for it then is of no use.
    strange = [row.pk for row in kept if (row.machine_id, int(row.since.timestamp())) not in starts]
    HostedDay.objects.filter(pk__in=strange).delete()
    HostedDay.objects.bulk_create(
        [
            HostedDay(
                contract_id=contract_id,
                tenant_id=tenant_id,
                machine_id=window.machine_id,
                day=day,
                since=datetime.fromtimestamp(span[0], UTC),
                until=datetime.fromtimestamp(span[1], UTC),
                runs=what.runs,
                hash_milli=what.hash_milli,
                energy_wh=what.energy_wh,
                power_s=what.power_s,
                pool_milli=what.pool_milli,
                read_at=datetime.fromtimestamp(now, UTC),
            )
            for window, (span, what) in found
        ],
        update_conflicts=True,
        unique_fields=["contract", "machine", "since"],
        update_fields=list(_FIGURES),
    )


def is_readable(window: Window, now: int, raw_days: int) -> bool:
    """Whether all of the day's rows are still in the store."""
    return window.day.since >= now - raw_days * 86_400


def gather(store: Store, zone: str, days: int, now: int, goes_on: Callable[[], bool]) -> int:
    """Read what is due of every contract in the last ``days``, whose rows must all be there still.

    Oldest day first; returns how many machine-days. Ends once told to.

    Raises StoreUnavailable, StoreRefused.
    """
    count = 0
    for row in contracts():
        due = [
            window
            for month in _months(now, days, zone)
            for window in unread(row.id, windows(row.id, month, zone, now, now - days * 86_400), now)
            if is_readable(window, now, days)
        ]
        for first in range(0, len(due), AT_ONCE):
            if not goes_on():
                return count
            count += read(row.id, due[first : first + AT_ONCE], store, now)
    return count


def _months(now: int, days: int, zone: str) -> Iterator[str]:
    first = now - days * 86_400
    yield from sorted({f"{day.day:%Y-%m}" for day in days_of((first, now + 1), zone)})


def is_settled(month: str, zone: str, now: datetime) -> bool:
    """Whether a month is over, and whatever came late of it is there."""
    return now >= datetime.fromtimestamp(month_span(month, zone)[1], UTC) + timedelta(seconds=SETTLE_S)
