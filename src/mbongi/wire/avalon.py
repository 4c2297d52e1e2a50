"""cgminer of an Avalon on TCP 4028: the answers that are used, and the text of bracketed figures in ``estats``. No I/O.

Shapes: captured replies. Meanings of ``PS``: Canaan's A10 manual (error, supply of the controller and of the boards in
10 mV, A, W given out, the voltage set), and a public reply of an A15 whose seventh figure is its WALLPOWER too.
"""

import re

import msgspec

from mbongi.wire import cgminer
from mbongi.wire.cgminer import Status
from mbongi.wire.tolerant import TolerantDecoder

MARK = b"AVALON"
"""Stands in ``version`` of every Avalon, in some case."""
DONE, INFORMED, NOT_DONE = 119, 118, 120
BREAKS = ",|\r\n\0"
"""What ends a word of ``ascset``: none may stand in one."""
_FIELD = re.compile(r"(\w[\w ]*?)\[([^\]]*)\]")


def question(name: str) -> bytes:
    """A read's bytes."""
    return cgminer.command(name)


def ascset(*words: str) -> bytes:
    """A write's bytes: ``ascset("softoff", "1:1700000000")``."""
    return cgminer.command("ascset", parameter=",".join(("0", *words)))


class VersionRow(
    msgspec.Struct,
    gc=False,
    rename={
        "product": "PROD",
        "model": "MODEL",
        "hardware": "HWTYPE",
        "firmware": "VERSION",
        "loader": "LVERSION",
        "serial": "DNA",
        "mac": "MAC",
    },
):
    """The one row of ``version``."""

    product: str = ""
    model: str = ""
    hardware: str = ""
    firmware: str = ""
    loader: str = ""
    serial: str = ""
    mac: str = ""


class StatsRow(msgspec.Struct, gc=False, rename={"elapsed": "Elapsed", "text": "MM ID0", "text_q": "MM ID0:Summary"}):
    """The row of ``estats`` that holds the text; the home machines name it otherwise."""

    elapsed: float | None = None
    text: str = ""
    text_q: str = ""


class PoolRow(msgspec.Struct, gc=False, rename={"active": "Stratum Active"}):
    """One pool in ``pools``. Its password, which the device states, is not taken."""

    POOL: int = -1
    URL: str = ""
    User: str = ""
    Status: str = ""
    Priority: int | None = None
    Accepted: int | None = None
    Rejected: int | None = None
    Stale: int | None = None
    active: bool | None = None


class Version(msgspec.Struct, gc=False, rename={"rows": "VERSION", "status": "STATUS"}):
    """``version``."""

    rows: list[VersionRow] = []
    status: list[Status] = []


class Stats(msgspec.Struct, gc=False, rename={"rows": "STATS", "status": "STATUS"}):
    """``estats``."""

    rows: list[StatsRow] = []
    status: list[Status] = []


class Pools(msgspec.Struct, gc=False, rename={"rows": "POOLS", "status": "STATUS"}):
    """``pools``."""

    rows: list[PoolRow] = []
    status: list[Status] = []


class WriteReply(msgspec.Struct, gc=False, rename={"status": "STATUS"}):
    """What ``ascset`` answers."""

    status: list[Status] = []


decode_version = TolerantDecoder(Version, what="avalon version")
decode_stats = TolerantDecoder(Stats, what="avalon estats")
decode_pools = TolerantDecoder(Pools, what="avalon pools")
decode_write = TolerantDecoder(WriteReply, what="avalon ascset")


class Figures:
    """``KEY[value] KEY[value]`` taken apart; a figure that is missing or no number is None or left out."""

    __slots__ = ("_texts",)

    def __init__(self, text: str) -> None:
        self._texts: dict[str, str] = {key: value.strip() for key, value in _FIELD.findall(text)}

    def __len__(self) -> int:
        return len(self._texts)

    def text(self, key: str) -> str:
        """As it stands; empty where it is missing."""
        return self._texts.get(key, "")

    def number(self, key: str) -> float | None:
        """The only or first number."""
        found = self.numbers(key)
        return found[0] if found else None

    def numbers(self, key: str) -> list[float]:
        """Every number, in order; percent signs are dropped. Empty where one is no number."""
        try:
            return [float(word.rstrip("%")) for word in self.text(key).split()]
        except ValueError:
            return []
