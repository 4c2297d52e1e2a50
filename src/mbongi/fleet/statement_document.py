"""What a statement states: the document that is kept, printed and served. Pure."""

from datetime import datetime
from typing import Any

import msgspec

from mbongi.fleet.rules.hosting_bill import Bill, Sums
from mbongi.fleet.rules.hosting_terms import ExcuseClass, Terms

ENERGY_SOURCE = "machine_readings"
"""Energy is what the machines state of their power, over time; a sub-meter per tenant would be another word here."""


class StatedExcuse(msgspec.Struct, kw_only=True, rename={"klass": "class"}):
    """An excuse that the month was reckoned with. ``cause`` is its evidence, ``machines`` how many it speaks of."""

    klass: ExcuseClass
    since: datetime
    until: datetime
    cause: str
    note: str
    machines: int


class StatedMachine(msgspec.Struct, kw_only=True):
    """One machine's month. ``has_nominal`` False: its model's rate is not known, so nothing is promised for it."""

    machine_id: int
    name: str
    model: str
    serial: str
    has_nominal: bool
    sums: Sums


class StatedDifference(msgspec.Struct, kw_only=True):
    """A figure that the version before stated otherwise, by its dotted name in this document."""

    name: str
    before: Any
    after: Any


class Document(msgspec.Struct, kw_only=True):
    """A contract's month. Times are UTC; ``zone`` is where its days and its month begin and end."""

    contract_id: int
    contract: str
    tenant: str
    site: str
    month: str
    version: int
    zone: str
    since: datetime
    until: datetime
    month_s: int
    terms_version: int
    terms: Terms
    sums: Sums
    promised_milli: int | None
    bill: Bill
    machines: list[StatedMachine]
    excuses: list[StatedExcuse]
    energy_source: str
    unread_days: int
    """Machine-days of which there is no record: their seconds are unknown."""
    lines: int
    sheet_sha256: str
    closed_at: datetime
    reason: str = ""
    differences: list[StatedDifference] = []

    @property
    def label(self) -> str:
        """How people name it: contract, month, version."""
        return f"{self.contract_id:04d}-{self.month}-{self.version}"
