"""A hosted site for tests: a tenant's machines, a contract, a telemetry store that answers from what was written."""

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from mbongi.core.identity.models import Tenant, User
from mbongi.fleet import contracts, hosting_rows, statements
from mbongi.fleet.hosting_rows import VersionRow
from mbongi.fleet.models import Machine
from mbongi.fleet.rules.hosting_terms import CreditStep, CurtailmentClass, Terms
from mbongi.fleet.statements import Site
from mbongi.fleet.values import MachineState

BRAZZAVILLE = Site("Brazzaville 1", "Africa/Brazzaville", raw_days=400)
"""UTC+1 the whole year."""
PARIS = Site("Paris 1", "Europe/Paris", raw_days=400)
S21_THS = 200.0
TERMS = Terms(
    valid_from="2026-01",
    starts="2026-01-01",
    by_rule=True,
    uptime_ppm=995_000,
    nominal_ppm=950_000,
    currency="USD",
    mwh_minor=5500,
    credits=(CreditStep(below_ppm=995_000, credit_ppm=50_000), CreditStep(below_ppm=900_000, credit_ppm=250_000)),
    curtailment=CurtailmentClass.AGREED,
    maintenance_s_max=7200,
)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type]


NOVEMBER = utc(2026, 10, 31, 23), utc(2026, 11, 30, 23)
"""At Brazzaville, UTC+1."""
LATER = utc(2026, 12, 2)


@dataclass
class WrittenStore:
    """Answers what the day reader asks, from rows of 600 s."""

    rows: list[tuple[int, int, float, int, float, float, float]] = field(default_factory=list)
    questions: int = 0
    fails: Exception | None = None

    def write(
        self,
        machine: Machine,
        since: datetime,
        until: datetime,
        state: MachineState = MachineState.MINING,
        *,
        ths: float = S21_THS,
        power_w: float = 3500.0,
    ) -> None:
        """Rows that say this of the whole span, which lasts whole multiples of ten minutes."""
        if state is not MachineState.MINING:
            ths, power_w = (0.0, 30.0) if state is MachineState.SLEEPING else (float("nan"), float("nan"))
        at, step = since, timedelta(seconds=600)
        while at < until:
            at += step
            self.rows.append((machine.pk, int(at.timestamp()), 600.0, int(state), ths, power_w, float("nan")))

    def columns(self, sql: str, *, machines: Sequence[int], since: int, until: int) -> dict[str, Any]:
        """As ``Store.columns``."""
        self.questions += 1
        if self.fails is not None:
            raise self.fails
        wanted = set(machines)
        found = sorted(row for row in self.rows if row[0] in wanted and since <= row[1] * 1000 < until)
        names = ("machine_id", "end_s", "span_s", "state", "hashrate_ths", "power_w", "pool_side_ths")
        if not found:
            return {}
        return {name: np.array(column) for name, column in zip(names, zip(*found, strict=True), strict=True)}


def machine(number: int, tenant: Tenant | None, model: str = "Antminer S21") -> Machine:
    """A machine in rack 20/01 that was there before the contract."""
    return Machine.objects.create(
        address=f"10.20.1.{number}",
        family="antminer",
        model=model,
        serial=f"S{number}",
        hall=20,
        rack=1,
        slot=number,
        tenant=tenant,
        state=MachineState.MINING,
        state_since=utc(2026, 1, 1),
        added_at=utc(2026, 1, 1),
    )


def contract(author: User, approver: User, tenant: Tenant, terms: Terms = TERMS, name: str = "North 1") -> VersionRow:
    """A contract in force."""
    made = contracts.add_contract(author, tenant.pk, name, terms, reason="signed")
    return contracts.approve_version(approver, made.id, reason="read it")


def listed(*members: Any, **changes: Any) -> Terms:
    """Terms of these machines."""
    return msgspec.structs.replace(TERMS, by_rule=False, machines=members, **changes)


def close(
    user: User,
    month: str,
    store: Any,
    site: Site = BRAZZAVILLE,
    *,
    now: datetime = LATER,
    reason: str = "",
    contract_ids: Any = None,
) -> Any:
    """Close a month as the fleet process does."""
    run = statements.ask_closing(user, month, site, now=now, reason=reason, contract_ids=contract_ids)
    while not statements.advance(run.id, store, site, clock=lambda: now):
        pass
    return hosting_rows.closing(run.id)


def lines_of(statement: Any) -> list[dict[str, str]]:
    """A statement's sheet."""
    return list(csv.DictReader(io.StringIO(statements.sheet_of(statement.id).decode())))


def check_sheet(found: Any) -> None:
    """The statement's sums are the sums of its sheet, whose hash it states."""
    content = statements.sheet_of(found.id)
    assert hashlib.sha256(content).hexdigest() == found.sheet_sha256 == found.document.sheet_sha256
    lines, sums = lines_of(found), found.document.sums
    assert len(lines) == found.document.lines
    for column, total in (
        ("contract_s", sums.seconds),
        ("up_s", sums.up_s),
        ("unexcused_s", sums.unexcused_s),
        ("unknown_s", sums.unknown_s),
        *((f"excused_{klass}_s", total) for klass, total in sums.excused_s.items()),
    ):
        assert sum(int(line[column]) for line in lines) == total, column
    for column, milli in (("energy_kwh", sums.energy_wh), ("hash_hours_ths_h", sums.hash_milli)):
        assert sum(Decimal(line[column]) for line in lines) == Decimal(milli) / 1000, column
    for line in lines:
        parts = [int(value) for name, value in line.items() if name.startswith("excused_")]
        whole = sum(parts) + sum(int(line[name]) for name in ("up_s", "unexcused_s", "unknown_s"))
        assert whole == int(line["contract_s"]), line
