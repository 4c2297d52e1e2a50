"""Values of the ledger. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from mbongi.base.ids import TenantId

NODE_LEVEL_MIN = 8
"""Roots of subtrees of at least 2**8 entries are kept: one row for 128 entries."""


@dataclass(frozen=True, slots=True)
class NewEntry:
    """Something that was done: who, what, on what, why, and the values before and after.

    ``actor`` is ``user:3`` or ``process:fleet``; ``action`` is ``domain.thing.verb``; ``subject`` is ``machine:17``.
    ``before`` and ``after`` are anything that JSON can say; never a password or key.
    """

    actor: str
    action: str
    subject: str
    reason: str = ""
    before: Any = None
    after: Any = None
    tenant_id: TenantId | int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A recorded entry. ``index`` counts from 0 without gaps."""

    index: int
    at: datetime
    actor: str
    action: str
    subject: str
    reason: str
    tenant_id: TenantId | None
    before_json: str | None
    after_json: str | None

    @property
    def before(self) -> Any:
        """The values before; None where nothing was."""
        return None if self.before_json is None else msgspec.json.decode(self.before_json)

    @property
    def after(self) -> Any:
        """The values after."""
        return None if self.after_json is None else msgspec.json.decode(self.after_json)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A promise about the first ``size`` entries: their Merkle root, and the signed note that says so."""

    origin: str
    size: int
    root: bytes
    note: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """What verification found: ``kind`` is altered, removed, reordered, added or checkpoint.

    It concerns the entries ``first`` to ``last``, both included.
    """

    kind: str
    first: int
    last: int
    text: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What was verified: ``size`` entries with Merkle ``root``, against ``checkpoints`` signed promises."""

    size: int
    root: bytes
    checkpoints: int
    problems: tuple[Problem, ...]

    @property
    def is_intact(self) -> bool:
        """Whether every entry is there, unaltered and in its place."""
        return not self.problems
