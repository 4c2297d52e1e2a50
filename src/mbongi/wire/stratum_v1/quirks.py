"""Ways in which real miners and pools differ from the documents, with an example and a source: ``quirks.csv``.

The codec needs no look at it: it reads every quirk from everybody. It says why, and tells people what to expect.
"""

import csv
import functools
import importlib.resources
import re
from enum import StrEnum

import msgspec


class Handling(StrEnum):
    """What becomes of it."""

    READ = "read"
    """The codec reads it as it was meant."""
    REFUSED = "refused"
    """It cannot be read with certainty, and is an error."""
    SESSION = "session"
    """Nothing for the codec; whoever serves the miner may heed it."""


class Quirk(msgspec.Struct, gc=False, frozen=True):
    """One way of its own. ``side`` is miner or pool; ``agent`` matches names of programs, None where none is known."""

    name: str
    side: str
    agent: re.Pattern[str] | None
    handling: Handling
    example: bytes
    """A line as it comes, without its end; people's names and addresses are replaced."""
    meaning: str
    source: str


@functools.cache
def quirks() -> tuple[Quirk, ...]:
    """All that are known."""
    text = importlib.resources.files("mbongi.wire.stratum_v1").joinpath("quirks.csv").read_text(encoding="utf-8")
    return tuple(
        Quirk(
            row["quirk"],
            row["side"],
            re.compile(row["agent"], re.IGNORECASE) if row["agent"] else None,
            Handling(row["handling"]),
            row["example"].encode(),
            row["meaning"],
            row["source"],
        )
        for row in csv.DictReader(text.splitlines())
    )


@functools.lru_cache(maxsize=1024)
def quirks_of(agent: str) -> tuple[Quirk, ...]:
    """Those of a program, by the name that it gives in ``mining.subscribe``."""
    return tuple(quirk for quirk in quirks() if quirk.agent is not None and quirk.agent.search(agent))
