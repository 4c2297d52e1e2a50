"""What pages and API show of a contract's month: reckoned now where it is open, as it was closed otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.core.identity.scope import SITE, acting
from mbongi.fleet import hosting_rows, statements
from mbongi.fleet.errors import HostingRefusedError
from mbongi.fleet.hosting_readings import TODAY_S
from mbongi.fleet.hosting_rows import ContractRow
from mbongi.fleet.rules.hosting import Line
from mbongi.fleet.rules.hosting_bill import Sums, sums
from mbongi.fleet.rules.hosting_days import days_of, month_of, month_span
from mbongi.fleet.statement_document import Document
from mbongi.fleet.statements import Site


def site() -> Site:
    """What statements need to know of this site."""
    return Site.of(settings.CONFIG)


@dataclass(frozen=True, slots=True)
class DaySight:
    """One day of some machines together; ``sums`` None before the contract, after it, and in days to come."""

    day: date
    sums: Sums | None


@dataclass(frozen=True, slots=True)
class MachineDays:
    """One machine's days."""

    machine_id: int
    name: str
    model: str
    sums: Sums
    days: Sequence[DaySight]


@dataclass(frozen=True, slots=True)
class MonthSight:
    """A contract's month as it is reckoned at ``now``: when its newest day was read, where it is not over.

    ``document`` None: no approved version governs it. ``is_stale``: that day should have been read again since.
    """

    contract: ContractRow
    month: str
    now: datetime
    document: Document | None
    days: Sequence[DaySight]
    machines: Sequence[MachineDays]
    is_over: bool
    is_stale: bool = False


STALE_S = 2 * TODAY_S
"""A day that is still running is read again within half of this, of a contract of few machines."""


def this_month(now: datetime | None = None) -> str:
    """The present month at the site."""
    return f"{(now or utc_now()).astimezone(ZoneInfo(site().zone)):%Y-%m}"


def checked_month(text: str, default: str) -> str:
    """A month as it stands in an address; ``default`` where it says none. Raises HostingRefusedError."""
    if not text:
        return default
    try:
        first, _after = month_of(text)
    except ValueError as error:
        words = _("Expected a month such as 2026-11.")
        raise HostingRefusedError(f"month {text[:20]!r}: {error}", words) from error
    if f"{first:%Y-%m}" != text or not 2000 <= first.year < 3000:
        raise HostingRefusedError(f"month {text[:20]!r}: expected YYYY-MM", _("Expected a month such as 2026-11."))
    return text


_KEPT_MAX = 8
_kept: dict[tuple[Any, ...], tuple[Document, list[DaySight]]] = {}
"""The newest reckonings by what they were made of: whoever looks again, or leafs through, has nothing added up anew."""


def _reckoned(
    contract_id: int, month: str, days: Sequence[date], now: datetime, *, with_sheet: bool
) -> tuple[Document, list[DaySight]]:
    """The month and its days, machines together. Needs the scope of the whole site; raises HostingRefusedError."""
    key = (contract_id, month, with_sheet, *statements.mark(contract_id, month, site(), now=now))
    if (known := _kept.pop(key, None)) is None:
        found = statements.reckon(contract_id, month, site(), now=now, with_sheet=with_sheet)
        known = found.document, _days(days, found.lines)
    _kept[key] = known
    while len(_kept) > _KEPT_MAX:
        _kept.pop(next(iter(_kept)), None)
    return known


def month_sight(
    contract_id: int, month: str, *, offset: int = 0, limit: int = 50, with_sheet: bool = True
) -> MonthSight:
    """A contract's month, which the asker may see. Raises UnknownContractError.

    ``machines`` are ``limit`` of them from ``offset`` on, those with the least uptime first. Without its sheet, which
    nobody needs but to compare it with a closed one, the document states no hash.
    """
    row, now = hosting_rows.contract(contract_id), utc_now()
    span = month_span(month, site().zone)
    days = [each.day for each in days_of(span, site().zone)]
    is_over = now.timestamp() >= span[1]
    read_at = None if is_over else hosting_rows.read_at(contract_id, month)
    is_stale = read_at is not None and (now - read_at).total_seconds() > STALE_S
    try:
        # The contract is the asker's to see. What excuses its downtime lies with the site: only sums of it come out.
        with acting(SITE):
            at = min(now, read_at or now)
            document, together = _reckoned(contract_id, month, days, at, with_sheet=with_sheet)
            ranked = sorted(document.machines, key=lambda one: (_rank(one.sums), one.name))
            shown = ranked[offset : offset + limit]
            own = {one.machine_id for one in shown}
            lines = (
                statements.reckon(contract_id, month, site(), now=at, only=own, with_sheet=False).lines if own else []
            )
    except HostingRefusedError:
        return MonthSight(row, month, now, None, [DaySight(day, None) for day in days], [], is_over)
    by_machine: dict[int, list[Line]] = {}
    for line in lines:
        by_machine.setdefault(line.machine_id, []).append(line)
    return MonthSight(
        contract=row,
        month=month,
        now=at,
        document=document,
        days=together,
        machines=[
            MachineDays(one.machine_id, one.name, one.model, one.sums, _days(days, by_machine.get(one.machine_id, [])))
            for one in shown
        ],
        is_over=is_over,
        is_stale=is_stale,
    )


def _rank(one: Sums) -> int:
    return -1 if one.uptime_ppm is None else one.uptime_ppm


def _days(days: Sequence[date], lines: Sequence[Line]) -> list[DaySight]:
    by_day: dict[date, list[Line]] = {}
    for line in lines:
        by_day.setdefault(line.day, []).append(line)
    return [DaySight(day, sums(by_day[day]) if day in by_day else None) for day in days]
