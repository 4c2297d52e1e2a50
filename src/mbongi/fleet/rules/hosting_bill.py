"""A contract's month: sums of its lines, uptime, charges, credits. Pure, and in whole numbers throughout.

Amounts are minor units of the contract's currency. Each amount is rounded once, half to even; a sum of lines is the sum
of their rounded figures, so that whoever adds up the sheet comes to the statement. Uptime is compared exactly, and
shown rounded down.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from mbongi.fleet.rules.hosting import Line, half_even
from mbongi.fleet.rules.hosting_days import Span
from mbongi.fleet.rules.hosting_terms import EXCUSED, MILLION, ExcuseClass, Terms


class ChargeKind(StrEnum):
    """What is charged for."""

    ENERGY = "energy"
    MACHINES = "machines"


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the bill: ``quantity`` is Wh, or machine-seconds; ``price_minor`` of 1,000 kWh or a full month."""

    kind: ChargeKind
    quantity: int
    price_minor: int
    amount_minor: int


class Sums(msgspec.Struct, kw_only=True):
    """The sums of lines. Hash-hours are thousandths of TH/s·h; ``no_power_s``: up, without a word on power."""

    seconds: int = 0
    up_s: int = 0
    excused_s: dict[ExcuseClass, int] = {}
    unexcused_s: int = 0
    unknown_s: int = 0
    hash_milli: int = 0
    promised_milli: int | None = None
    energy_wh: int = 0
    no_power_s: int = 0
    pool_milli: int | None = None

    @property
    def owed_s(self) -> int:
        """The seconds that the promises speak of."""
        return self.up_s + self.unexcused_s

    @property
    def excused_all_s(self) -> int:
        """Excused seconds of all classes."""
        return sum(self.excused_s.values())

    @property
    def uptime_ppm(self) -> int | None:
        """Up seconds by owed ones, rounded down; None where none was owed."""
        return None if not self.owed_s else MILLION * self.up_s // self.owed_s

    @property
    def uptime_low_ppm(self) -> int | None:
        """What it would be had the machines been down whenever it is unknown."""
        whole = self.owed_s + self.unknown_s
        return None if not whole else MILLION * self.up_s // whole

    @property
    def uptime_high_ppm(self) -> int | None:
        """What it would be had they been up whenever it is unknown."""
        whole = self.owed_s + self.unknown_s
        return None if not whole else MILLION * (self.up_s + self.unknown_s) // whole


def sums(lines: Iterable[Line]) -> Sums:
    """The lines' sums."""
    total = Sums(excused_s=dict.fromkeys(EXCUSED, 0))
    for line in lines:
        _add(total, line)
    return total


def total_of(parts: Iterable[Sums]) -> Sums:
    """The sums of sums: of a contract from those of its machines."""
    total = Sums(excused_s=dict.fromkeys(EXCUSED, 0))
    for part in parts:
        _add(total, part)
    return total


def _add(total: Sums, line: "Line | Sums") -> None:
    total.seconds += line.seconds
    total.up_s += line.up_s
    total.unexcused_s += line.unexcused_s
    total.unknown_s += line.unknown_s
    total.hash_milli += line.hash_milli
    total.energy_wh += line.energy_wh
    total.no_power_s += line.no_power_s
    for klass, excused_s in line.excused_s.items():
        total.excused_s[klass] += excused_s
    if line.promised_milli is not None:
        total.promised_milli = (total.promised_milli or 0) + line.promised_milli
    if line.pool_milli is not None:
        total.pool_milli = (total.pool_milli or 0) + line.pool_milli


class Bill(msgspec.Struct, kw_only=True):
    """What a month comes to. ``total_minor`` is the charges less the credit."""

    charges: list[Charge]
    charges_minor: int
    credit_ppm: int
    credit_minor: int
    total_minor: int


def promised(total: Sums, terms: Terms, *, month: Span, under_contract_s: int) -> int | None:
    """The hash-hours promised [thousandths of TH/s·h]: for the seconds that were owed; None where none are promised.

    A promise for a full month holds for the part of it that the contract ran (``under_contract_s`` of the month), and
    of that for the machines' share of owed seconds.
    """
    if terms.hash_hours is None:
        return total.promised_milli
    if not total.seconds:
        return 0
    return half_even(terms.hash_hours * 1000 * under_contract_s * total.owed_s, (month[1] - month[0]) * total.seconds)


def credit_ppm(total: Sums, terms: Terms) -> int:
    """The share of the charges that goes back; 0 where nothing was owed."""
    if not total.owed_s:
        return 0
    steps = [step for step in terms.credits if total.up_s * MILLION < step.below_ppm * total.owed_s]
    return max((step.credit_ppm for step in steps), default=0)


def bill(total: Sums, terms: Terms, month: Span) -> Bill:
    """The month's bill by its sums."""
    charges = []
    if terms.mwh_minor:
        charges.append(_charge(ChargeKind.ENERGY, total.energy_wh, terms.mwh_minor, 1_000_000))
    if terms.machine_month_minor:
        charges.append(_charge(ChargeKind.MACHINES, total.seconds, terms.machine_month_minor, month[1] - month[0]))
    whole = sum(charge.amount_minor for charge in charges)
    share = credit_ppm(total, terms)
    credit = half_even(whole * share, MILLION)
    return Bill(
        charges=charges,
        charges_minor=whole,
        credit_ppm=share,
        credit_minor=credit,
        total_minor=whole - credit,
    )


def _charge(kind: ChargeKind, quantity: int, price_minor: int, per: int) -> Charge:
    amount = half_even(quantity * price_minor, per)
    return Charge(kind=kind, quantity=quantity, price_minor=price_minor, amount_minor=amount)


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure that a corrected statement states otherwise than the one before it."""

    name: str
    before: Any
    after: Any


def differences(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> list[Difference]:
    """Where two statements' figures differ, by dotted names, in order."""
    found: list[Difference] = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{prefix}{name}.")
        elif old != new:
            found.append(Difference(prefix + name, old, new))
    return found
