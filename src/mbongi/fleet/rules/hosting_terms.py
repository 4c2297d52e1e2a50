"""What a hosting contract says, and what can be wrong with it. Pure.

Shares are whole millionths (995,000 is 99.5 %), money whole minor units of its currency (``currencies.csv``).
"""

import csv
import itertools
import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

MILLION = 1_000_000
NOTE_MAX = 2000
MACHINES_MAX = 20_000
STEPS_MAX = 10
AMOUNT_MAX = 10**12
_MONTH = re.compile(r"2\d{3}-(0[1-9]|1[0-2])")
_DATE = re.compile(r"2\d{3}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")


class ExcuseClass(StrEnum):
    """Why downtime is not the site's to answer for; MONITORING: it is not known whether there was any.

    Where several hold for the same second it is counted once, for the first in this order.
    """

    CUSTOMER = "customer"
    GRID = "grid"
    FORCE_MAJEURE = "force_majeure"
    CURTAILMENT = "curtailment"
    MAINTENANCE = "maintenance"
    MONITORING = "monitoring"


EXCUSED = tuple(each for each in ExcuseClass if each is not ExcuseClass.MONITORING)
"""The classes that excuse downtime, in the order in which they are taken."""


class CurtailmentClass(StrEnum):
    """Whether the site may put the tenant's machines to sleep when the load must fall."""

    FIRM = "firm"
    """It may not: curtailment counts as downtime."""
    AGREED = "agreed"
    """It may: curtailment is excused."""


class CreditStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Uptime below ``below_ppm`` gives ``credit_ppm`` of the month's charges back; of several the largest."""

    below_ppm: int
    credit_ppm: int


class Member(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A machine of the contract, from the first of ``since`` (a date at the site) until before ``until``."""

    machine_id: int
    since: str | None = None
    until: str | None = None


class Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of a contract.

    ``valid_from`` (2026-11) is the first month that it governs. The contract runs from the first of ``starts`` until
    before ``ends``, dates at the site. Machines are listed in ``machines``, or are all that the tenant owns
    (``by_rule``), or those of them in ``group_id``. Hash-hours are promised as TH/s·h of a full month, or as a share
    of each model's nominal rate. Prices in minor units: of 1,000 kWh, and of a machine for a full month.
    ``maintenance_s_max`` [s] is how much planned maintenance per machine and month is excused.
    """

    valid_from: str
    starts: str
    ends: str | None = None
    by_rule: bool = False
    group_id: int | None = None
    machines: tuple[Member, ...] = ()
    uptime_ppm: int
    hash_hours: int | None = None
    nominal_ppm: int | None = None
    currency: str
    mwh_minor: int = 0
    machine_month_minor: int = 0
    credits: tuple[CreditStep, ...] = ()
    curtailment: CurtailmentClass = CurtailmentClass.FIRM
    maintenance_s_max: int = 0
    notes: str = ""


@cache
def currencies() -> Mapping[str, int]:
    """How many decimals the minor unit of each known currency has."""
    with (files("mbongi.fleet") / "currencies.csv").open(encoding="utf-8") as lines:
        return {row["code"]: int(row["decimals"]) for row in csv.DictReader(lines)}


def faults_of(terms: Terms) -> list[tuple[str, str]]:
    """(field, what is wrong) of terms that no contract can have; empty where they can be used."""
    return [*_dates(terms), *_machines(terms), *_promises(terms), *_money(terms)]


def _dates(terms: Terms) -> list[tuple[str, str]]:
    faults = []
    if not _MONTH.fullmatch(terms.valid_from):
        faults.append(("valid_from", "expected a month such as 2026-11"))
    for name in ("starts", "ends"):
        value = getattr(terms, name)
        if value is not None and not is_date(value):
            faults.append((name, "expected a date such as 2026-11-01"))
    if not faults and terms.ends is not None and terms.ends <= terms.starts:
        faults.append(("ends", "expected a date after its start"))
    return faults


def is_date(text: str) -> bool:
    """Whether it is a date as terms write them."""
    if not _DATE.fullmatch(text):
        return False
    year, month, day = map(int, text.split("-"))
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return day <= (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]


def _machines(terms: Terms) -> list[tuple[str, str]]:
    if terms.by_rule == bool(terms.machines) or (terms.group_id is not None and not terms.by_rule):
        return [("machines", "expected a list of machines, or a rule")]
    if len(terms.machines) > MACHINES_MAX:
        return [("machines", f"expected {MACHINES_MAX} at most")]
    faults: list[tuple[str, str]] = []
    ends: dict[int, str] = {}
    for each in sorted(terms.machines, key=lambda one: (one.machine_id, one.since or "")):
        dates = [value for value in (each.since, each.until) if value is not None]
        if not all(map(is_date, dates)) or (len(dates) == 2 and dates[0] >= dates[1]):
            faults.append(("machines", f"machine {each.machine_id}: expected dates, the end after the start"))
        if each.machine_id in ends and (each.since or "") < ends[each.machine_id]:
            faults.append(("machines", f"machine {each.machine_id}: its times overlap"))
        ends[each.machine_id] = each.until or "9999"
    return faults[:5]


def _promises(terms: Terms) -> list[tuple[str, str]]:
    faults = []
    if not 0 <= terms.uptime_ppm <= MILLION:
        faults.append(("uptime_ppm", "expected 0 to 1,000,000"))
    if terms.hash_hours is not None and terms.nominal_ppm is not None:
        faults.append(("hash_hours", "expected hash-hours or a share of the nominal rate, not both"))
    if terms.hash_hours is not None and not 0 < terms.hash_hours <= AMOUNT_MAX:
        faults.append(("hash_hours", "expected more than 0"))
    if terms.nominal_ppm is not None and not 0 < terms.nominal_ppm <= 2 * MILLION:
        faults.append(("nominal_ppm", "expected 1 to 2,000,000"))
    if not 0 <= terms.maintenance_s_max <= 31 * 86_400:
        faults.append(("maintenance_s_max", "expected no more than a month"))
    below = [step.below_ppm for step in terms.credits]
    if len(below) > STEPS_MAX or len(set(below)) != len(below):
        faults.append(("credits", f"expected {STEPS_MAX} steps at most, each below another share"))
    if any(not (0 < step.below_ppm <= MILLION and 0 < step.credit_ppm <= MILLION) for step in terms.credits):
        faults.append(("credits", "expected shares above 0, up to 1,000,000"))
    ordered = sorted(terms.credits, key=lambda step: -step.below_ppm)
    if any(worse.credit_ppm < better.credit_ppm for better, worse in itertools.pairwise(ordered)):
        faults.append(("credits", "expected no smaller credit for a lower uptime"))
    return faults


def _money(terms: Terms) -> list[tuple[str, str]]:
    faults = []
    if terms.currency not in currencies():
        faults.append(("currency", f"expected one of {', '.join(sorted(currencies()))}"))
    prices = (terms.mwh_minor, terms.machine_month_minor)
    if not all(0 <= price <= AMOUNT_MAX for price in prices) or not any(prices):
        faults.append(("mwh_minor", "expected a price per 1,000 kWh or per machine and month"))
    if len(terms.notes) > NOTE_MAX:
        faults.append(("notes", f"expected {NOTE_MAX} characters at most"))
    return faults


def changes(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Field, before, after, in the order of the terms: where two versions differ. ``before`` None: there was none."""
    former = before or {}
    names = sorted(after, key=lambda name: _PLACE.get(name, len(_PLACE)))
    return [(name, former.get(name), after[name]) for name in names if former.get(name) != after[name]]


_PLACE = {name: place for place, name in enumerate(Terms.__struct_fields__)}
