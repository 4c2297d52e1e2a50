"""Braiins OS on Antminers: its public REST interface under ``/api/v1``. No I/O.

Rates GH/s, temperatures degC, powers W, frequencies Hz; each figure stands in an object that names its unit. Shapes:
captured replies of version 26.04 (``tests/twin/captures/braiins``) and the maker's OpenAPI description.
"""

from typing import Any

import msgspec

from mbongi.wire.tolerant import TolerantDecoder

HOME_MARK = b"Braiins OS"
RPC_MARKS = (b"BOSER", b"BOSMINER")
API = "/api/v1/"
DETAILS, STATS, BOARDS, ERRORS = (f"{API}miner/{name}" for name in ("details", "stats", "hw/hashboards", "errors"))
COOLING, CONFIGURATION, POOLS, LOCATE = (
    f"{API}{name}" for name in ("cooling/state", "configuration/miner", "pools/", "actions/locate")
)
LOGIN, POOLS_BATCH, POWER_TARGET, NETWORK, COOLING_MODE = (
    f"{API}{name}"
    for name in ("auth/login", "pools/batch", "performance/power-target", "network/configuration", "cooling/mode")
)
PASSWORD = f"{API}auth/password"
PAUSE, RESUME, START, REBOOT = (f"{API}actions/{name}" for name in ("pause", "resume", "start", "reboot"))
GRAPHQL = "/graphql"
UPGRADE = f"{API}upgrade/system-upgrade"
MODEL_QUERY = msgspec.json.encode({"query": "{ bosminer { info { modelName } } }"})
NOT_STARTED, NORMAL, PAUSED, SUSPENDED, RESTRICTED = 1, 2, 3, 4, 5
"""Numbers of ``status``."""
TUNES_POWER = 1
"""``tuner_mode`` of a machine that aims at a power."""


class Rate(msgspec.Struct, gc=False):
    """A hashrate; captures write all in GH/s, other units are mended."""

    gigahash_per_second: float | None = None
    terahash_per_second: float | None = None
    megahash_per_second: float | None = None

    @property
    def ths(self) -> float | None:
        """In TH/s."""
        if self.gigahash_per_second is not None:
            return self.gigahash_per_second / 1e3
        if self.terahash_per_second is not None:
            return self.terahash_per_second
        return None if self.megahash_per_second is None else self.megahash_per_second / 1e6


class Temperature(msgspec.Struct, gc=False):
    """A temperature."""

    degree_c: float | None = None


class Power(msgspec.Struct, gc=False):
    """A power."""

    watt: float | None = None


class Frequency(msgspec.Struct, gc=False):
    """A frequency."""

    hertz: float | None = None


class Voltage(msgspec.Struct, gc=False):
    """A voltage."""

    volt: float | None = None


class Sensor(msgspec.Struct, gc=False):
    """The hottest of some sensors."""

    temperature: Temperature | None = None


class RealRate(msgspec.Struct, gc=False):
    """What was hashed over the last spans."""

    last_5s: Rate | None = None
    since_restart: Rate | None = None


class WorkStats(msgspec.Struct, gc=False):
    """What a machine or a board hashes, and should at its present tuning."""

    real_hashrate: RealRate = msgspec.field(default_factory=RealRate)
    nominal_hashrate: Rate | None = None


class PoolStats(msgspec.Struct, gc=False):
    """Counts of shares."""

    accepted_shares: int | None = None
    rejected_shares: int | None = None
    stale_shares: int | None = None


class PowerStats(msgspec.Struct, gc=False):
    """What the machine draws, by its own estimate."""

    approximated_consumption: Power | None = None


class Stats(msgspec.Struct, gc=False):
    """``miner/stats``."""

    miner_stats: WorkStats = msgspec.field(default_factory=WorkStats)
    pool_stats: PoolStats = msgspec.field(default_factory=PoolStats)
    power_stats: PowerStats = msgspec.field(default_factory=PowerStats)


class Board(msgspec.Struct, gc=False):
    """One board; ``id`` counts from 1."""

    id: int = 0
    enabled: bool | None = None
    chips_count: int | None = None
    serial_number: str | None = None
    board_temp: Temperature | None = None
    highest_chip_temp: Sensor | None = None
    current_frequency: Frequency | None = None
    current_voltage: Voltage | None = None
    stats: WorkStats = msgspec.field(default_factory=WorkStats)


class Boards(msgspec.Struct, gc=False):
    """``miner/hw/hashboards``."""

    hashboards: list[Board] = []


class Fan(msgspec.Struct, gc=False):
    """One fan; ``target_speed_ratio`` of its full speed [0..1]."""

    position: int = 0
    rpm: float | None = None
    target_speed_ratio: float | None = None


class Cooling(msgspec.Struct, gc=False):
    """``cooling/state``."""

    fans: list[Fan] = []
    highest_temperature: Sensor | None = None


class Version(msgspec.Struct, gc=False):
    """The firmware."""

    current: str = ""


class Identity(msgspec.Struct, gc=False):
    """The machine."""

    name: str = ""
    miner_model: str = ""


class Psu(msgspec.Struct, gc=False):
    """The power supply."""

    model_name: str | None = None


class Details(msgspec.Struct, gc=False):
    """``miner/details``; ``bosminer_uptime_s`` is 0 while the miner program does not run."""

    status: int | None = None
    hostname: str = ""
    mac_address: str = ""
    serial_number: str | None = None
    bos_version: Version = msgspec.field(default_factory=Version)
    miner_identity: Identity = msgspec.field(default_factory=Identity)
    psu_info: Psu | None = None
    sticker_hashrate: Rate | None = None
    bosminer_uptime_s: float | None = None
    system_uptime_s: float | None = None


class Tuner(msgspec.Struct, gc=False):
    """What the tuner aims at."""

    tuner_mode: int | None = None
    power_target: Power | None = None


class CoolingConfiguration(msgspec.Struct, gc=False):
    """How the fans are told: an object with one key, the mode's name."""

    mode: dict[str, Any] | None = None


class Configuration(msgspec.Struct, gc=False):
    """``configuration/miner``, but for its pools: those hold passwords."""

    tuner: Tuner | None = None
    temperature: CoolingConfiguration | None = None


class Pool(msgspec.Struct, gc=False):
    """One pool."""

    url: str = ""
    user: str = ""
    enabled: bool | None = None
    alive: bool | None = None
    active: bool | None = None
    stats: PoolStats = msgspec.field(default_factory=PoolStats)


class Group(msgspec.Struct, gc=False):
    """Pools that share the work with other groups."""

    name: str = ""
    pools: list[Pool] = []


class Code(msgspec.Struct, gc=False):
    """What an error means, in the maker's words."""

    code: str = ""
    reason: str = ""


class Error(msgspec.Struct, gc=False):
    """One line of the machine's log of errors; ``timestamp`` in ISO 8601."""

    message: str = ""
    timestamp: str = ""
    error_codes: list[Code] = []


class Errors(msgspec.Struct, gc=False):
    """``miner/errors``: of all time, the oldest first."""

    errors: list[Error] = []


class Token(msgspec.Struct, gc=False):
    """The answer to ``auth/login``."""

    token: str = ""


class NetworkConfiguration(msgspec.Struct, gc=False):
    """``network/configuration``, as far as it is read."""

    hostname: str = ""


class _Info(msgspec.Struct, gc=False):
    model_name: str = msgspec.field(default="", name="modelName")


class _Bosminer(msgspec.Struct, gc=False):
    info: _Info | None = None


class _Data(msgspec.Struct, gc=False):
    bosminer: _Bosminer | None = None


class Model(msgspec.Struct, gc=False):
    """The answer to MODEL_QUERY, which needs no password."""

    data: _Data | None = None

    @property
    def name(self) -> str:
        """The model; empty where it is not stated."""
        bosminer = self.data.bosminer if self.data is not None else None
        return bosminer.info.model_name if bosminer is not None and bosminer.info is not None else ""


class _GroupList(msgspec.Struct, gc=False):
    rows: list[Group] = []


class _Flag(msgspec.Struct, gc=False):
    value: bool | None = None


decode_details = TolerantDecoder(Details, what="braiins miner details")
decode_stats = TolerantDecoder(Stats, what="braiins miner stats")
decode_boards = TolerantDecoder(Boards, what="braiins hashboards")
decode_errors = TolerantDecoder(Errors, what="braiins errors")
decode_cooling = TolerantDecoder(Cooling, what="braiins cooling state")
decode_configuration = TolerantDecoder(Configuration, what="braiins configuration")
decode_network = TolerantDecoder(NetworkConfiguration, what="braiins network configuration")
decode_token = TolerantDecoder(Token, what="braiins answer to login")
decode_model = TolerantDecoder(Model, what="braiins model")
_decode_groups = TolerantDecoder(_GroupList, what="braiins pools")
_decode_flag = TolerantDecoder(_Flag, what="braiins locate")


def decode_groups(data: bytes) -> list[Group]:
    """``pools``, a bare list. Raises WireError where it cannot be read."""
    return _decode_groups(b'{"rows":%b}' % data).rows


def decode_flag(data: bytes) -> bool | None:
    """A bare yes or no. Raises WireError where it cannot be read."""
    return _decode_flag(b'{"value":%b}' % data).value
