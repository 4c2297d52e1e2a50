"""LuxOS on Antminers: cgminer's JSON on TCP 4028, with rows and commands of its own. No I/O.

Rates GH/s in ``summary``, MH/s in ``devs``; temperatures degC; ``Hashrate`` of a profile TH/s, ``Voltage`` V.
Shapes: captured replies (``tests/twin/captures/luxos``). Which commands need a session: the maker's own tools
(LuxorLabs/luxos-tooling, MIT).
"""

from typing import Any

import msgspec

from mbongi.wire.cgminer import Status, command
from mbongi.wire.errors import WireError
from mbongi.wire.tolerant import TolerantDecoder

MARK = b"LUXMINER"
SESSION_HELD = 402
"""``logon``'s code where another program holds the one session that a machine gives."""
SESSION_S = 60.0
"""A session ends so long after its last use."""
SLEEP, WAKE = "sleep", "wakeup"
AWAKE = "none"
"""``CurtailMode`` of a machine that is told to mine, in lower case."""
_BREAK = ",\r\n\0"


class SummaryRow(msgspec.Struct, gc=False):
    """The row of ``summary``."""

    elapsed: float | None = msgspec.field(default=None, name="Elapsed")
    ghs_5s: float | None = msgspec.field(default=None, name="GHS 5s")
    ghs_av: float | None = msgspec.field(default=None, name="GHS av")
    accepted: float | None = msgspec.field(default=None, name="Accepted")
    rejected: float | None = msgspec.field(default=None, name="Rejected")
    stale: float | None = msgspec.field(default=None, name="Stale")
    hw_errors: float | None = msgspec.field(default=None, name="Hardware Errors")


class DevRow(msgspec.Struct, gc=False):
    """One hash board in ``devs``; the rows come in any order, ``ID`` numbers them from 0."""

    id: int = msgspec.field(default=-1, name="ID")
    serial: str = msgspec.field(default="", name="SerialNumber")
    mhs_5s: float | None = msgspec.field(default=None, name="MHS 5s")
    nominal_mhs: float | None = msgspec.field(default=None, name="Nominal MHS")
    hw_errors: float | None = msgspec.field(default=None, name="Hardware Errors")
    status: str = msgspec.field(default="", name="Status")
    temperature: float | None = msgspec.field(default=None, name="Temperature")


class FanRow(msgspec.Struct, gc=False):
    """One fan; ``speed`` is its duty [%]."""

    id: int = msgspec.field(default=-1, name="ID")
    rpm: float | None = msgspec.field(default=None, name="RPM")
    speed: float | None = msgspec.field(default=None, name="Speed")


class TempRow(msgspec.Struct, gc=False):
    """The four sensors at the corners of one board: intake and exhaust air as the board feels it."""

    id: int = msgspec.field(default=-1, name="ID")
    top_left: float = msgspec.field(default=0.0, name="TopLeft")
    top_right: float = msgspec.field(default=0.0, name="TopRight")
    bottom_left: float = msgspec.field(default=0.0, name="BottomLeft")
    bottom_right: float = msgspec.field(default=0.0, name="BottomRight")

    @property
    def corners(self) -> list[float]:
        """All four; 0 for a sensor that does not work."""
        return [self.top_left, self.top_right, self.bottom_left, self.bottom_right]


class PowerRow(msgspec.Struct, gc=False):
    """What the machine draws; ``metered`` says whether the power supply measures it."""

    metered: bool = msgspec.field(default=False, name="PSU")
    watts: float | None = msgspec.field(default=None, name="Watts")


class PoolRow(msgspec.Struct, gc=False):
    """One pool; several groups share the work by their quotas."""

    id: int = msgspec.field(default=-1, name="POOL")
    group: int = msgspec.field(default=0, name="GROUP")
    priority: int = msgspec.field(default=0, name="Priority")
    url: str = msgspec.field(default="", name="URL")
    user: str = msgspec.field(default="", name="User")
    status: str = msgspec.field(default="", name="Status")
    active: bool | None = msgspec.field(default=None, name="Stratum Active")
    accepted: int | None = msgspec.field(default=None, name="Accepted")
    rejected: int | None = msgspec.field(default=None, name="Rejected")
    stale: int | None = msgspec.field(default=None, name="Stale")


class GroupRow(msgspec.Struct, gc=False):
    """A group of pools; ``quota`` is its share of the work."""

    id: int = msgspec.field(default=-1, name="GROUP")
    name: str = msgspec.field(default="", name="Name")
    quota: float | None = msgspec.field(default=None, name="Quota")


class ConfigRow(msgspec.Struct, gc=False):
    """The row of ``config``."""

    model: str = msgspec.field(default="", name="Model")
    mac: str = msgspec.field(default="", name="MACAddr")
    serial: str = msgspec.field(default="", name="SerialNumber")
    hostname: str = msgspec.field(default="", name="Hostname")
    control_board: str = msgspec.field(default="", name="ControlBoardType")
    psu: str = msgspec.field(default="", name="PSULabel")
    profile: str = msgspec.field(default="", name="Profile")
    curtail_mode: str = msgspec.field(default="", name="CurtailMode")
    red_led: str = msgspec.field(default="", name="RedLed")
    atm: bool | None = msgspec.field(default=None, name="IsAtmEnabled")
    system_status: str = msgspec.field(default="", name="SystemStatus")

    @property
    def rests(self) -> bool:
        """Whether it is told not to mine."""
        return self.curtail_mode.lower() not in {"", AWAKE}


class ProfileRow(msgspec.Struct, gc=False):
    """A set of frequency and voltage that the machine can run at."""

    name: str = msgspec.field(default="", name="Profile Name")
    watts: float | None = msgspec.field(default=None, name="Watts")
    hashrate_ths: float | None = msgspec.field(default=None, name="Hashrate")
    frequency_mhz: float | None = msgspec.field(default=None, name="Frequency")


class EventRow(msgspec.Struct, gc=False):
    """Something that the machine reports, such as a board that was restarted."""

    code: str = msgspec.field(default="", name="Code")
    text: str = msgspec.field(default="", name="Description")
    since: str = msgspec.field(default="", name="CreatedAt")


class VersionRow(msgspec.Struct, gc=False):
    """The row of ``version``."""

    miner: str = msgspec.field(default="", name="Miner")
    type: str = msgspec.field(default="", name="Type")


class SessionRow(msgspec.Struct, gc=False):
    """The session under way; empty where there is none."""

    id: str = msgspec.field(default="", name="SessionID")


class Answer(msgspec.Struct, gc=False):
    """One command's answer, whichever it was: the rows that it has, and the status."""

    status: list[Status] = msgspec.field(default=[], name="STATUS")
    summary: list[SummaryRow] = msgspec.field(default=[], name="SUMMARY")
    devs: list[DevRow] = msgspec.field(default=[], name="DEVS")
    fans: list[FanRow] = msgspec.field(default=[], name="FANS")
    temps: list[TempRow] = msgspec.field(default=[], name="TEMPS")
    power: list[PowerRow] = msgspec.field(default=[], name="POWER")
    pools: list[PoolRow] = msgspec.field(default=[], name="POOLS")
    groups: list[GroupRow] = msgspec.field(default=[], name="GROUPS")
    config: list[ConfigRow] = msgspec.field(default=[], name="CONFIG")
    profiles: list[ProfileRow] = msgspec.field(default=[], name="PROFILES")
    events: list[EventRow] = msgspec.field(default=[], name="EVENTS")
    version: list[VersionRow] = msgspec.field(default=[], name="VERSION")
    session: list[SessionRow] = msgspec.field(default=[], name="SESSION")
    stats: list[dict[str, Any]] = msgspec.field(default=[], name="STATS")

    @property
    def code(self) -> int | None:
        """The status' number."""
        return self.status[0].Code if self.status else None

    @property
    def refusal(self) -> str:
        """The machine's words where it did not do what was asked; empty where it did."""
        if not self.status:
            return "no status"
        first = self.status[0]
        return f"code {first.Code}: {str(first.Msg)[:80]}" if first.STATUS in {"E", "F"} else ""


class Joined(msgspec.Struct, gc=False):
    """Answers of joined commands by name; a status alone where the machine does not join."""

    status: list[Status] = msgspec.field(default=[], name="STATUS")
    summary: list[Answer] = []
    devs: list[Answer] = []
    fans: list[Answer] = []
    temps: list[Answer] = []
    power: list[Answer] = []
    stats: list[Answer] = []
    pools: list[Answer] = []
    config: list[Answer] = []
    events: list[Answer] = []
    profiles: list[Answer] = []
    version: list[Answer] = []


decode_answer = TolerantDecoder(Answer, what="luxos reply")
decode_joined = TolerantDecoder(Joined, what="luxos joined reply")


def question(name: str, *parameters: object) -> bytes:
    """A command's bytes; its parameters stand in one text, so none may hold a comma. Raises WireError."""
    if not parameters:
        return command(name)
    texts = [str(parameter) for parameter in parameters]
    for text in texts:
        if any(sign in text for sign in _BREAK):
            raise WireError(f"luxos {name}: a parameter holds a comma or a line break; expected none")
    return command(name, parameter=",".join(texts))


def chips_of(stats: list[dict[str, Any]], board: int) -> int | None:
    """The chips that answer on a board, counted from 0; None where ``stats`` does not say."""
    for row in stats:
        found = row.get(f"chain_acn{board + 1}")
        if isinstance(found, int):
            return found
    return None
