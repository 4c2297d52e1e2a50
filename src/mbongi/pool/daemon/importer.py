"""Takes the shares of all shards into the accounts: exactly once, in one order, however often it is interrupted.

The database alone knows how far the logs are taken in. Whatever this process remembers is thrown away where that
differs, so it may be killed at any moment, or a commit may be in doubt.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from mbongi.base.log import get_log
from mbongi.pool.daemon.share_log import files_of, shard_folders
from mbongi.pool.daemon.share_reader import Names, Piece, ShareReader
from mbongi.pool.rules.tally import SeenShares, Shares, tally_of
from mbongi.pool.services import ShardStep, import_shares, positions
from mbongi.pool.values import Position

log = get_log(__name__)

SEEN_MAX: Final = 1_000_000
"""Shares before the present place that are read again at the start, to know those that come twice."""
SEEN_MS: Final = 3_600_000
"""None older than this: a job is forgotten after ten minutes, and no share for it accepted."""


class Importer:
    """Works on ``data_dir/pool/shares``; every call on the thread of the database."""

    def __init__(self, root: Path, is_address: Callable[[str], bool]) -> None:
        self._root, self._is_address = root, is_address
        self._names = Names()
        self._readers: dict[int, ShareReader] = {}
        self._seen = SeenShares(SEEN_MAX)

    def step(self) -> bool:
        """Take in what was logged since, up to a limit; True where there is more already."""
        folders = dict(shard_folders(self._root))
        known = positions()
        self._follow(folders, known)
        pieces = {shard: self._readers[shard].read() for shard in folders}
        horizon_ms = min(
            (int(each.shares.order_ms[-1]) for each in pieces.values() if each.more and len(each.shares)),
            default=None,
        )
        if horizon_ms is not None:
            pieces = {shard: each.until(horizon_ms) for shard, each in pieces.items()}
        moved = {shard: each for shard, each in pieces.items() if each.after != each.before or each.damaged_bytes}
        if moved:
            self._book(moved)
        return any(each.more for each in pieces.values()) and bool(moved)

    def _follow(self, folders: dict[int, Path], known: dict[int, Position]) -> None:
        """Stand where the database says; after anything unforeseen, know anew which shares were seen."""
        is_astray = False
        for shard, folder in folders.items():
            position = known.get(shard, Position())
            if shard not in self._readers:
                self._readers[shard] = ShareReader(folder, self._names)
            if self._readers[shard].position != position:
                self._readers[shard].seek(position)
                is_astray = True
        if is_astray:
            self._seen = SeenShares(SEEN_MAX)
            for shard, folder in folders.items():
                self._seen.add(_before(folder, known.get(shard, Position()), SEEN_MAX // len(folders)))

    def _book(self, moved: dict[int, Piece]) -> None:
        try:
            shares, places = Shares.in_order([each.shares for each in moved.values()])
            is_new = self._seen.is_new(shares)
            fresh = shares[is_new]
            counts = np.bincount(places[is_new], minlength=len(moved))
            steps = [
                _step(shard, piece, int(count)) for (shard, piece), count in zip(moved.items(), counts, strict=True)
            ]
            import_shares(steps, tally_of(fresh), self._names.names, self._is_address)
        except BaseException:
            # Whether it is booked, only the database knows: have everything read again from where that stands.
            self._readers.clear()
            raise
        for shard, piece in moved.items():
            self._readers[shard].advance(piece)
        self._seen.add(fresh)
        for step in steps:
            if step.replays:
                log.warning("shares_replayed", shard=step.shard, shares=step.replays)

    def remove_old_files(self, older_than_s: float) -> int:
        """Remove files that are wholly taken in and were last written before a Unix time; returns how many."""
        removed = 0
        known = positions()
        for shard, folder in shard_folders(self._root):
            for path in files_of(folder)[:-1]:
                is_over = int(path.stem) < known.get(shard, Position()).file
                if is_over and path.stat().st_mtime < older_than_s:
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed


def _step(shard: int, piece: Piece, fresh: int) -> ShardStep:
    return ShardStep(
        shard=shard,
        before=piece.before,
        after=piece.after,
        shares=fresh,
        replays=len(piece.shares) - fresh,
        damaged_bytes=piece.damaged_bytes,
        to_ms=int(piece.shares.order_ms[-1]) if len(piece.shares) else None,
    )


def _before(folder: Path, position: Position, shares_max: int) -> Shares:
    """The last shares before a position, none of them much older than the last."""
    found: list[Shares] = []
    count, oldest_ms = 0, 0
    for path in reversed(files_of(folder)):
        number = int(path.stem)
        if number > position.file:
            continue
        shares = ShareReader(folder, Names()).read_all(number, position.offset if number == position.file else None)
        if not len(shares):
            continue
        oldest_ms = oldest_ms or int(shares.order_ms[-1]) - SEEN_MS
        found.append(shares[shares.order_ms >= oldest_ms])
        count += len(found[-1])
        if count >= shares_max or len(found[-1]) < len(shares):
            break
    return Shares.in_order(found)[0][-shares_max:]
