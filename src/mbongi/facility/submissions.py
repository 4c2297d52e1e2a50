"""Inventories that are handed in: kept as files, shown as a dry run, and entered on somebody's word, all or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.facility import inventory, selectors
from mbongi.facility.errors import InventoryRefusedError, NotPermittedError
from mbongi.facility.models import Submission
from mbongi.facility.rules import inventory_files, netbox_reading
from mbongi.facility.rules.inventory_changes import Plan, plan
from mbongi.facility.rules.inventory_files import FILES, Given, Problem

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

KEPT_MAX = 20
"""Inventories that are kept; the oldest goes."""
BYTES_MAX = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SubmissionRow:
    """An inventory as it was handed in. ``form`` is ``mbongi`` or ``netbox``, ``files`` the names that came."""

    id: int
    source: str
    form: str
    files: tuple[str, ...]
    author: str
    at: datetime
    entered_at: datetime | None


@transaction.atomic
def hand_in(user: "User", source: str, form: str, files: Mapping[str, str]) -> int:
    """Keep files for a dry run; returns their number. Nothing else changes.

    Raises NotPermittedError, InventoryRefusedError: no file that is known, or too large.
    """
    if not user.may(Permission.FACILITY_EDIT):
        raise NotPermittedError(f"{user.actor}: hand in an inventory: the role {user.role} does not permit it")
    known = netbox_reading.FILES if form == "netbox" else tuple(FILES)
    kept = {name: text.replace("\0", "") for name, text in files.items() if name in known and text.strip()}
    if not kept:
        raise InventoryRefusedError(f"hand in {sorted(files)}: no known file", _("Choose at least one file."))
    if sum(map(len, kept.values())) > BYTES_MAX:
        raise InventoryRefusedError("hand in an inventory: too large", _("The files are too large."))
    document = {"form": form, "files": kept}
    row = Submission.objects.create(source=source[:200], author=user, at=utc_now(), document=document)
    old = list(Submission.objects.values_list("pk", flat=True)[KEPT_MAX:])
    Submission.objects.filter(pk__in=old).delete()
    return row.pk


def submissions() -> list[SubmissionRow]:
    """Those that are kept, newest first."""
    return [_shown(row) for row in Submission.objects.select_related("author")]


def submission(number: int) -> SubmissionRow:
    """One of them. Raises InventoryRefusedError."""
    return _shown(_kept(number))


def dry_run(number: int) -> Plan:
    """What entering it would change now. Raises InventoryRefusedError."""
    given, problems = _read(_kept(number))
    if problems:
        return Plan(changes=(), same=0, problems=tuple(problems))
    return plan(selectors.inventory(), given)


@transaction.atomic
def enter(user: "User", number: int, *, reason: str) -> Plan:
    """Enter all of it, or nothing; returns what was changed.

    Raises NotPermittedError, InventoryRefusedError, InventoryFaultyError.
    """
    row = _kept(number)
    given, problems = _read(row)
    if problems:
        raise inventory.InventoryFaultyError(Plan(changes=(), same=0, problems=tuple(problems)))
    found = inventory.enter(user, given, reason=reason)
    Submission.objects.filter(pk=row.pk).update(entered_at=utc_now(), entered_by=user)
    outcome = {"source": row.source, "changes": len(found.changes), "same": found.same}
    ledger.append([NewEntry(user.actor, "facility.inventory.import", f"submission:{row.pk}", reason, None, outcome)])
    return found


def _kept(number: int) -> Submission:
    row = Submission.objects.select_related("author").filter(pk=number).first()
    if row is None:
        raise InventoryRefusedError(f"inventory {number}: not kept", _("This inventory is not kept any more."))
    return row


def _shown(row: Submission) -> SubmissionRow:
    form, files = row.document["form"], tuple(row.document["files"])
    return SubmissionRow(row.pk, row.source, form, files, str(row.author), row.at, row.entered_at)


def _read(row: Submission) -> tuple[dict[str, Sequence[Given]], list[Problem]]:
    texts = row.document["files"]
    if row.document["form"] == "netbox":
        return netbox_reading.read(texts)
    found: dict[str, Sequence[Given]] = {}
    problems: list[Problem] = []
    for file in FILES:
        if file in texts:
            found[file], wrong = inventory_files.read(file, texts[file])
            problems += wrong
    return found, problems
