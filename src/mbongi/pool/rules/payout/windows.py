"""The last so much work before a block, by account. Pure.

Shares come as slices, work by account, of any length of time down to the single share. The slice that crosses the
window's edge counts for the part of it inside.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from mbongi.pool.errors import PayoutError
from mbongi.pool.rules.payout.amounts import split

Slice = Mapping[str, int]
"""Work [hashes] by account."""

TIDES_WINDOW_BLOCKS: Final = 8
"""So each share is paid eight times on average. Source: OCEAN, TIDES technical documentation (2024)."""


def tides_window_work(network_work: int, blocks: int = TIDES_WINDOW_BLOCKS) -> int:
    """The window's work [hashes]: so many blocks' at the present difficulty of the network."""
    if network_work <= 0 or blocks <= 0:
        raise PayoutError(f"window of {blocks} blocks of {network_work} hashes: expected more than 0 of both")
    return network_work * blocks


def window_of(newest_first: Iterable[Slice], window_work: int) -> dict[str, int]:
    """The last ``window_work`` hashes by account; all there is where there is less."""
    if window_work <= 0:
        raise PayoutError(f"window of {window_work} hashes: expected more than 0")
    found: dict[str, int] = {}
    left = window_work
    for each in newest_first:
        total = _total(each)
        _add(found, each if total <= left else split(left, each))
        left -= min(total, left)
        if left == 0:
            break
    return found


class SlidingWindow:
    """The same window kept up to date slice by slice, each of which is added once and dropped once.

    It holds what lies inside, and the slice on the edge whole: a window that grows again afterwards must be loaded
    again from the shares.
    """

    def __init__(self, window_work: int) -> None:
        self._slices: deque[tuple[Slice, int]] = deque()
        self._held: dict[str, int] = {}
        self._held_work = 0
        self.window_work = 0
        self.resize(window_work)

    def add(self, newest: Slice) -> None:
        """Append the newest slice."""
        total = _total(newest)
        if total:
            self._slices.append((dict(newest), total))
            self._held_work += total
            _add(self._held, newest)
            self._drop()

    def resize(self, window_work: int) -> None:
        """Follow the network's difficulty."""
        if window_work <= 0:
            raise PayoutError(f"window of {window_work} hashes: expected more than 0")
        self.window_work = window_work
        self._drop()

    def work(self) -> dict[str, int]:
        """Work by account inside the window."""
        found = dict(self._held)
        beyond = self._held_work - self.window_work
        if beyond > 0:
            oldest, total = self._slices[0]
            inside = split(total - beyond, oldest)
            _subtract(found, {account: work - inside.get(account, 0) for account, work in oldest.items()})
        return found

    def _drop(self) -> None:
        while self._slices and self._held_work - self._slices[0][1] >= self.window_work:
            oldest, total = self._slices.popleft()
            self._held_work -= total
            _subtract(self._held, oldest)


def _total(each: Slice) -> int:
    if min(each.values(), default=0) < 0:
        raise PayoutError("shares: work below 0")
    return sum(each.values())


def _add(totals: dict[str, int], each: Slice) -> None:
    for account, work in each.items():
        if work:
            totals[account] = totals.get(account, 0) + work


def _subtract(totals: dict[str, int], each: Slice) -> None:
    for account, work in each.items():
        if work:
            totals[account] -= work
            if totals[account] == 0:
                del totals[account]
