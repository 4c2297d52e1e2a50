"""Spare parts: what there is of each is the sum of moves, none of which is ever changed."""

from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.core.bus import outbox
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.fleet.errors import NotPermittedError, UnknownPartError, WorkRefusedError
from mbongi.fleet.events import StockLow
from mbongi.fleet.models import Part, StockMove, WorkEntry

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

PIECES_MAX = 100_000
REASON_MAX = 500


class MoveKind(StrEnum):
    """Why pieces came or went."""

    RECEIVE = "receive"
    USE = "use"
    """Built into a machine, or put back from one."""
    SCRAP = "scrap"
    COUNT = "count"
    """Somebody counted, and found another number than the moves say."""


HAND_MOVES = (MoveKind.RECEIVE, MoveKind.SCRAP, MoveKind.COUNT)


def _must(user: "User", what: str) -> None:
    if not user.may(Permission.STOCK_MANAGE):
        raise NotPermittedError(f"{user.actor}: {what}: the role {user.role} does not permit it")


@transaction.atomic
def write_part(
    user: "User", *, number: str, name: str, fits: str = "", reorder_point: int = 0, part_id: int | None = None
) -> int:
    """Add a part, or change the one of ``part_id``; returns its id.

    Raises NotPermittedError, UnknownPartError, or WorkRefusedError: no number or name, too long, or a number in use.
    """
    _must(user, "part")
    facts = {"number": _line(number, 60), "name": _line(name, 120), "fits": fits.replace("\0", "").strip()[:200]}
    if not 0 <= reorder_point <= PIECES_MAX:
        raise _refused(f"reorder point {reorder_point}: expected 0 to {PIECES_MAX}", _("State how many pieces."))
    row = Part(added_at=utc_now()) if part_id is None else _locked(part_id)
    before = None if part_id is None else _facts(row)
    row.number, row.name, row.fits, row.reorder_point = facts["number"], facts["name"], facts["fits"], reorder_point
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError as error:
        text = _("There is a part with this number already.")
        raise WorkRefusedError(f"part {row.number}: the number is in use", text) from error
    action = "fleet.part.add" if part_id is None else "fleet.part.change"
    ledger.append([NewEntry(user.actor, action, f"part:{row.pk}", "", before, _facts(row))])
    return row.pk


def _facts(row: Part) -> dict[str, str | int]:
    return {"number": row.number, "name": row.name, "fits": row.fits, "reorder_point": row.reorder_point}


def _line(text: str, limit: int) -> str:
    line = " ".join(text.replace("\0", "").split())
    if not 1 <= len(line) <= limit:
        raise _refused(
            f"part: a text of {len(line)} characters; expected 1 to {limit}", _("State a number and a name.")
        )
    return line


def _refused(message: str, text: str) -> WorkRefusedError:
    return WorkRefusedError(message, text)


def _locked(part_id: int) -> Part:
    row = Part.objects.select_for_update().filter(pk=part_id).first()
    if row is None:
        raise UnknownPartError(f"part {part_id}: not known")
    return row


@transaction.atomic
def move(user: "User", part_id: int, kind: MoveKind, pieces: int, *, key: UUID, reason: str) -> int:
    """Receive or scrap ``pieces`` (1 or more), or state how many were counted (0 or more); returns the new stock.

    ``key`` is made by whoever asks: the same move twice counts once.
    Raises NotPermittedError, UnknownPartError, or WorkRefusedError.
    """
    _must(user, f"stock {kind}")
    reason = " ".join(reason.replace("\0", "").split())
    if not 1 <= len(reason) <= REASON_MAX:
        raise _refused(f"stock {kind}: a reason of {len(reason)} characters", _("State a reason."))
    if kind not in HAND_MOVES or not (0 if kind is MoveKind.COUNT else 1) <= pieces <= PIECES_MAX:
        raise _refused(f"stock {kind}: {pieces} pieces", _("State how many pieces."))
    part = _locked(part_id)
    now = stock_of(part)
    if StockMove.objects.filter(key=key).exists():
        return now
    change = {MoveKind.RECEIVE: pieces, MoveKind.SCRAP: -pieces, MoveKind.COUNT: pieces - now}[kind]
    if change:
        add_move(StockMove(key=key, part=part, pieces=change, kind=kind, reason=reason, author=user, at=utc_now()))
    return now + change


def stock_of(part: Part) -> int:
    """The sum of a part's moves. Below 0 once people used what nobody had entered: then it is to be counted."""
    return StockMove.objects.filter(part=part).aggregate(pieces=Sum("pieces"))["pieces"] or 0


def use(user: "User", entry: WorkEntry, number: str, pieces: int) -> None:
    """Record that an entry built pieces in (below 0: put them back). In the entry's transaction; locks the part."""
    part = Part.objects.select_for_update().filter(number=number).first()
    if part is None:
        raise _refused(f"part {number!r}: not known", _("No part has the number “%(number)s”.") % {"number": number})
    add_move(
        StockMove(key=entry.key, part=part, pieces=-pieces, kind=MoveKind.USE, entry=entry, author=user, at=entry.at)
    )


def add_move(row: StockMove) -> None:
    """Append a move of a locked part, to the ledger too; say so where the stock falls to the reorder point."""
    before = stock_of(row.part)
    row.save(force_insert=True)
    after, part = before + row.pieces, row.part
    if after <= part.reorder_point < before:
        outbox.emit(
            StockLow(
                part=part.number,
                name=part.name,
                pieces=after,
                reorder_point=part.reorder_point,
                at_ms=int(utc_now().timestamp() * 1000),
            )
        )
    facts = {"pieces": row.pieces, "stock": after, "order": row.entry.order_id if row.entry else None}
    actor = row.author.actor
    ledger.append([
        NewEntry(actor, f"fleet.stock.{row.kind}", f"part:{part.pk}", row.reason, {"stock": before}, facts)
    ])  # fmt: skip
