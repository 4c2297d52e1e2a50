"""What can be asked of the ledger, within the present scope."""

from mbongi.core.ledger.merkle import Frontier, inclusion_proof, range_root
from mbongi.core.ledger.models import LedgerCheckpoint, LedgerEntry, LedgerHead
from mbongi.core.ledger.notes import Verifier
from mbongi.core.ledger.tree import StoredTree
from mbongi.core.ledger.values import Checkpoint, Entry

LIMIT_MAX = 1_000


def entries(subject: str | None = None, before_index: int | None = None, limit: int = 50) -> list[Entry]:
    """The newest entries of the scope, of one subject where named; ``before_index`` continues a list downwards."""
    rows = LedgerEntry.objects.order_by("-index")
    if subject is not None:
        rows = rows.filter(subject=subject)
    if before_index is not None:
        rows = rows.filter(index__lt=before_index)
    columns = ("index", "at", "actor", "action", "subject", "reason", "tenant_id", "before", "after")
    return [Entry(*row) for row in rows.values_list(*columns)[: min(limit, LIMIT_MAX)]]


def head() -> tuple[int, bytes]:
    """How many entries there are in all, and their Merkle root."""
    row = LedgerHead.objects.get(pk=1)
    return row.size, Frontier(row.size, bytes(row.frontier)).root()


def last_checkpoint_note() -> str | None:
    """The newest signed checkpoint; None before the first."""
    return LedgerCheckpoint.objects.order_by("-size").values_list("note", flat=True).first()


def prove(index: int, size: int) -> tuple[bytes, list[bytes]]:
    """The leaf hash of an entry and its audit path in the tree of the first ``size`` entries. Needs the whole site."""
    tree = StoredTree()
    return tree.complete(0, index), inclusion_proof(tree.complete, index, size)


def root_at(size: int) -> bytes:
    """The root that the tree had with ``size`` entries. Needs the whole site."""
    return range_root(StoredTree().complete, 0, size)


def checkpoints(verifier: Verifier) -> list[Checkpoint]:
    """Every signed checkpoint in the database, signatures checked. Raises NoteError for one that we did not sign."""
    return [verifier.checkpoint(note) for note in LedgerCheckpoint.objects.values_list("note", flat=True).iterator()]
