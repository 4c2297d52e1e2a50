"""One block and how its reward is divided, and the proofs of that, as the page and the API show them alike."""

from dataclasses import dataclass

from django.conf import settings

from mbongi.core.identity.scope import SITE, acting
from mbongi.pool import selectors
from mbongi.pool.rules.proof import ShareProof
from mbongi.pool.selectors import BlockRow, WindowRow
from mbongi.pool.windows import proof_secret
from mbongi.web import pool_sight


@dataclass(frozen=True, slots=True)
class Division:
    """A block. ``shares`` is each worker's work [hashes] in its window, ``credits`` what each account has of it [sat].

    Both begin with the most, and hold what the asker may see.
    """

    block: BlockRow
    window: WindowRow | None
    shares: list[tuple[str, int]]
    credits: list[tuple[str, int]]

    @property
    def credited_sat(self) -> int:
        """All that the asker sees credited."""
        return sum(sat for _account, sat in self.credits)


def division(hash_: str) -> Division | None:
    """The block of that hash; None where there is none."""
    row = selectors.block(hash_)
    if row is None:
        return None
    return Division(
        pool_sight.with_luck(row),
        selectors.window(row.window) if row.window else None,
        selectors.window_shares(row.window) if row.window else [],
        selectors.credits_of_block(row.hash),
    )


def share_proof(window: str, worker: str) -> ShareProof | None:
    """The proof that a worker's work is part of a window; None where the asker sees no work of that worker there."""
    if worker not in {name for name, _work in selectors.window_shares(window)}:
        return None
    with acting(SITE):  # the tree is made of everybody's work; the proof shows no other worker's name
        return selectors.share_proof(window, worker, proof_secret(settings.CONFIG.site.data_dir))
