"""Which node to build on: what each says of its chain, compared. Pure.

A block is built on the best chain of a node that answers, that has done its first download, and whose head is not one
that the other nodes keep out of their chains. Times are seconds of one clock that never jumps, but for ``tip_time_s``.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Standing(StrEnum):
    """What a node is good for at present."""

    GOOD = "good"
    UNHEARD = "unheard"
    """Not asked yet, or without an answer for so short a time that it says nothing."""
    SILENT = "silent"
    WRONG_CHAIN = "wrong_chain"
    DOWNLOADING = "downloading"
    """It has not all blocks that it knows of."""
    QUIET = "quiet"
    """It answers, but its tip is so old that it is probably cut off from its peers."""
    BEHIND = "behind"
    """Others have had more blocks for a while."""
    ALONE = "alone"
    """Its head is in the chain of no other node, though they had the time to fetch it."""
    FORGED = "forged"
    """Its head lacks the proof of work that it states, or that the chain's blocks have."""
    UNFIT = "unfit"
    """It says good things of its chain, but its templates are missing or cannot be mined on."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What tells a slow node from one that must not be used."""

    silent_s: float = 15.0
    downloading_blocks: int = 1
    """Headers ahead of blocks; a block that has just been announced is one."""
    behind_s: float = 30.0
    """How long another node may have had a block that it lacks."""
    alone_s: float = 30.0
    """How long other nodes have to take over a head; a block reaches all of the network's nodes within seconds."""
    quiet_s: float | None = 7200.0
    """The chance of no block for so long is e^-12. None for practice chains, which may rest for days."""
    tip_work_least: float = 0.25
    """Of a tip, as a part of another node's tip's work: a retarget lowers it to a quarter at most. 0 on chains with
    blocks of least difficulty."""


@dataclass(frozen=True, slots=True)
class Head:
    """What one node last said of its chain. ``heard_at_s`` None: it has never answered."""

    name: str
    asked_since_s: float
    heard_at_s: float | None = None
    trouble: str = ""
    """Why the last question brought no answer; empty where it did."""
    chain: str = ""
    blocks: int = 0
    headers: int = 0
    work: int = 0
    """The chain's, as the node states it."""
    best_hash: str = ""
    tip_work: int | None = None
    """Of the tip alone, by its header, once its hash was seen to meet it; 0 where it does not, None before the look."""
    is_downloading: bool = False
    tip_time_s: float = 0.0
    """Of the tip's header [Unix seconds]."""
    changed_at_s: float = 0.0
    """When its best hash was first seen there."""
    denied_by: frozenset[str] = frozenset()
    """Nodes which, asked about this best hash, have it outside their best chain or do not know it."""
    unfit_until_s: float = 0.0
    unfit_reason: str = ""
    """Why no work can be made of its templates; it is tried again after that time, or where no other node is left."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A node's standing and, in words, why."""

    standing: Standing
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """The node to build on. ``in_sync``: yes, no, or None where nothing certain can be said."""

    name: str | None
    in_sync: bool | None
    reason: str
    """Why not yes; empty for yes."""
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)


def choose(
    heads: Sequence[Head],
    *,
    now_s: float,
    unix_s: float,
    limits: Limits,
    chains: Collection[str] = (),
    current: str | None = None,
) -> Choice:
    """Choose among the nodes, which come in the order of preference.

    The most work wins; among equals the one in use, so that two blocks of the same height do not make the pool swing.
    ``chains`` are the only ones to accept, empty for any.
    """
    verdicts = {head.name: _by_itself(head, now_s, limits, chains, unix_s) for head in heads}
    answering = [head for head in heads if verdicts[head.name].standing is Standing.GOOD]
    verdicts |= {head.name: _checked(head, answering, now_s, limits) for head in answering}
    sound = [head for head in answering if verdicts[head.name].standing is Standing.GOOD]
    heard = [head for head in heads if head.heard_at_s is not None and verdicts[head.name].standing in _NOT_USED]
    verdicts |= {head.name: _compared(head, sound, heard, now_s, limits) for head in sound}
    unfit = [head for head in heads if verdicts[head.name].standing is Standing.UNFIT]
    reason = "; ".join(f"node {name}: {verdict.reason}" for name, verdict in verdicts.items() if verdict.reason)
    if sound or unfit:
        best = max(sound or unfit, key=lambda head: (head.work, head.name == current))
        # The best of those that answer can only be behind one that has fallen silent or gives no work.
        is_certain = verdicts[best.name].standing is Standing.GOOD
        doubt = None if sound else False
        return Choice(best.name, True if is_certain else doubt, "" if is_certain else reason, verdicts)
    uncertain = [head for head in heads if verdicts[head.name].standing in {Standing.UNHEARD, Standing.QUIET}]
    kept = next((head.name for head in uncertain if head.name == current and head.heard_at_s is not None), None)
    return Choice(kept, None if uncertain else False, reason or "no node is configured", verdicts)


_NOT_USED = frozenset({Standing.SILENT, Standing.UNHEARD, Standing.UNFIT})


def _by_itself(head: Head, now_s: float, limits: Limits, chains: Collection[str], unix_s: float) -> Verdict:
    """Whether it answers, and what its own words say of it."""
    silent_s = now_s - (head.asked_since_s if head.heard_at_s is None else head.heard_at_s)
    if silent_s > limits.silent_s:
        return Verdict(Standing.SILENT, head.trouble or f"no answer for {silent_s:.0f} s")
    if head.heard_at_s is None or head.trouble:
        return Verdict(Standing.UNHEARD, head.trouble or "not heard yet")
    verdict = _of_its_chain(head, limits, chains, unix_s)
    if verdict.standing is Standing.GOOD and now_s < head.unfit_until_s:
        return Verdict(Standing.UNFIT, head.unfit_reason)
    return verdict


def _of_its_chain(head: Head, limits: Limits, chains: Collection[str], unix_s: float) -> Verdict:
    if chains and head.chain not in chains:
        return Verdict(Standing.WRONG_CHAIN, f"it is on chain {head.chain}; expected {' or '.join(sorted(chains))}")
    if head.is_downloading or head.headers - head.blocks > limits.downloading_blocks:
        return Verdict(Standing.DOWNLOADING, f"at block {head.blocks} of {head.headers}, still downloading")
    if head.tip_work == 0:
        return Verdict(Standing.FORGED, f"the hash of its head {head.best_hash} does not meet its target")
    age_s = unix_s - head.tip_time_s
    if limits.quiet_s is not None and head.tip_time_s and age_s > limits.quiet_s:
        return Verdict(Standing.QUIET, f"its last block is {age_s / 60:.0f} minutes old; is it cut off from its peers?")
    return Verdict(Standing.GOOD)


def _checked(head: Head, answering: Sequence[Head], now_s: float, limits: Limits) -> Verdict:
    """Whether the other nodes bear out its head."""
    others = [each for each in answering if each.name != head.name and each.best_hash != head.best_hash]
    expected = max((each.tip_work or 0 for each in others), default=0)
    if head.tip_work is not None and head.tip_work < expected * limits.tip_work_least:
        return Verdict(Standing.FORGED, f"its head {head.best_hash} took far less work than the chain's blocks do")
    # A single other node may itself be the one in error; proof of work decides between two.
    is_settled = now_s - head.changed_at_s > limits.alone_s
    is_outvoted = len(others) >= 2 and len(others) == len(answering) - 1
    if is_settled and is_outvoted and all(each.name in head.denied_by for each in others):
        found = f"its head {head.best_hash} at {head.blocks} is in none of {len(others)} other nodes' chains"
        return Verdict(Standing.ALONE, found)
    return Verdict(Standing.GOOD)


def _compared(head: Head, sound: Sequence[Head], heard: Sequence[Head], now_s: float, limits: Limits) -> Verdict:
    """Whether it has the blocks that others have, or had when they were last heard."""
    ahead = [each for each in sound if _is_late(head, each, now_s, limits)]
    ahead += [each for each in heard if each.blocks > head.blocks + 1 and _is_late(head, each, now_s, limits)]
    if not ahead:
        return Verdict(Standing.GOOD)
    best = max(ahead, key=lambda each: each.work)
    silence = f", heard {now_s - (best.heard_at_s or 0):.0f} s ago," if best in heard else ""
    return Verdict(Standing.BEHIND, f"at block {head.blocks}; node {best.name}{silence} is at {best.blocks}")


def _is_late(head: Head, other: Head, now_s: float, limits: Limits) -> bool:
    """Whether it had the time to take over the other's blocks; by two or more, since its own head last changed."""
    if other.work <= head.work or other.blocks <= head.blocks:
        return False
    since_s = other.changed_at_s if other.blocks == head.blocks + 1 else min(other.changed_at_s, head.changed_at_s)
    return now_s - since_s > limits.behind_s
