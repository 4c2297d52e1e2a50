"""What people write about the supply: versions that a second person approves, and the switch of dispatch."""

import csv
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec
from django.db import transaction
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.energy.errors import NotPermittedError, ProblemError, SupplyRefusedError
from mbongi.energy.models import DispatchState, SupplyVersion
from mbongi.energy.rules import supply as rules
from mbongi.energy.values import Supply

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

DOCUMENT_BYTES_MAX = 100_000
REASON_MAX = 500


@dataclass(frozen=True, slots=True)
class SupplyRow:
    """A version. ``needs_second``: nobody has approved it, so it is not in force."""

    id: int
    supply: Supply
    author: str
    author_id: int
    reason: str
    written_at: datetime
    approver: str
    approved_at: datetime | None

    @property
    def needs_second(self) -> bool:
        """Whether somebody else must approve it."""
        return self.approved_at is None


@cache
def factors() -> dict[str, float]:
    """Grams of CO2 equivalent per kWh by technology; ``carbon_factors.csv`` has their sources."""
    with Path(__file__).with_name("carbon_factors.csv").open(encoding="utf-8", newline="") as file:
        return {row["technology"]: float(row["g_kwh"]) for row in csv.DictReader(file)}


def read_document(document: bytes) -> Supply:
    """A document as it is written on the page, in JSON. Raises SupplyRefusedError with what was expected."""
    if len(document) > DOCUMENT_BYTES_MAX:
        raise SupplyRefusedError(
            f"supply of {len(document)} bytes; expected {DOCUMENT_BYTES_MAX} at most", _("The document is too long.")
        )
    try:
        supply = msgspec.json.decode(document, type=Supply)
    except msgspec.DecodeError as error:
        raise SupplyRefusedError(f"supply: {error}") from error
    _check(supply)
    return supply


def _check(supply: Supply) -> None:
    found = rules.faults(supply, factors())
    if found:
        raise SupplyRefusedError(f"supply: {'; '.join(found)}")
    try:
        rules.problem_of(supply, factors(), {}, start=utc_now(), zone=ZoneInfo("UTC"), steps=1)
    except ProblemError as error:
        raise SupplyRefusedError(f"supply: {error}") from error


@transaction.atomic
def write(user: "User", supply: Supply, *, reason: str) -> SupplyRow:
    """A new version; it is in force once somebody else has approved it.

    Raises NotPermittedError, SupplyRefusedError for what cannot be planned with.
    """
    _require(user, "write the supply")
    _check(supply)
    row = SupplyVersion.objects.create(
        document=msgspec.to_builtins(supply), author=user, reason=_reason(reason), written_at=utc_now()
    )
    _record(user, "write", f"supply:{row.pk}", row.reason, None, row.document)
    return _row(row)


@transaction.atomic
def approve(user: "User", version_id: int, *, reason: str) -> SupplyRow:
    """Agree to what somebody else wrote. Raises NotPermittedError, SupplyRefusedError."""
    _require(user, f"approve supply {version_id}")
    row = SupplyVersion.objects.select_for_update().filter(pk=version_id).first()
    if row is None:
        raise SupplyRefusedError(f"supply {version_id}: not known", _("There is no such version."))
    if row.author_id == user.pk:
        raise SupplyRefusedError(
            f"approve supply {version_id}: {user.actor} wrote it; somebody else must approve",
            _("You wrote this version; somebody else must approve it."),
        )
    if row.approved_at is not None:
        raise SupplyRefusedError(f"supply {version_id}: approved already", _("This version is approved already."))
    if SupplyVersion.objects.filter(pk__gt=row.pk).exclude(approved_at=None).exists():
        raise SupplyRefusedError(
            f"supply {version_id}: a newer version is in force", _("A newer version is in force; write this one anew.")
        )
    row.approver, row.approved_at = user, utc_now()
    row.save(update_fields=["approver", "approved_at"])
    _record(user, "approve", f"supply:{row.pk}", _reason(reason), None, None)
    return _row(row)


@transaction.atomic
def switch(user: "User", *, on: bool, reason: str) -> None:
    """Hand targets to the fleet from now on, or only show them. Raises NotPermittedError, SupplyRefusedError.

    Off, the energy process lifts the limit that it told at its next step.
    """
    _require(user, f"switch dispatch {'on' if on else 'off'}")
    if on and in_force() is None:
        raise SupplyRefusedError(
            "switch dispatch on: no supply is in force",
            _("Somebody must write the supply, and somebody else approve it."),
        )
    state = locked_state()
    before, state.is_on = state.is_on, on
    state.save(update_fields=["is_on"])
    _record(user, "on" if on else "off", "dispatch", _reason(reason), {"on": before}, {"on": on})


def locked_state() -> DispatchState:
    """The row of what holds now, locked until the transaction ends; made at its first use."""
    DispatchState.objects.get_or_create(number=1)
    return DispatchState.objects.select_for_update().get(number=1)


def in_force() -> SupplyRow | None:
    """The newest approved version."""
    row = SupplyVersion.objects.exclude(approved_at=None).select_related("author", "approver").last()
    return None if row is None else _row(row)


def versions(limit: int = 20) -> list[SupplyRow]:
    """The newest versions, newest first."""
    rows = SupplyVersion.objects.select_related("author", "approver").order_by("-pk")[:limit]
    return [_row(row) for row in rows]


def _row(row: SupplyVersion) -> SupplyRow:
    return SupplyRow(
        id=row.pk,
        supply=msgspec.convert(row.document, Supply),
        author=str(row.author),
        author_id=row.author_id,
        reason=row.reason,
        written_at=row.written_at,
        approver="" if row.approver is None else str(row.approver),
        approved_at=row.approved_at,
    )


def _reason(reason: str) -> str:
    reason = reason.strip()
    if not 1 <= len(reason) <= REASON_MAX:
        text = _("Say why, in 1 to %(limit)d characters.") % {"limit": REASON_MAX}
        raise SupplyRefusedError(f"reason of {len(reason)} characters", text)
    return reason


def _record(user: "User", verb: str, subject: str, reason: str, before: Any, after: Any) -> None:
    kind = "supply" if subject.startswith("supply") else "dispatch"
    ledger.append([NewEntry(user.actor, f"energy.{kind}.{verb}", subject, reason, before, after)])


def _require(user: "User", what: str) -> None:
    if not user.may(Permission.ENERGY_EDIT):
        raise NotPermittedError(f"{user.actor}: {what}: the role {user.role} does not permit it")
