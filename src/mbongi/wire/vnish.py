"""VNish on Antminers: HTTP with JSON under ``/api/v1``. No I/O.

Rates GH/s, voltages mV, temperatures degC, powers W. No capture of a real machine was to be had; the shapes are those
of the firmware's own description of its interface, versions 1.2.6 to 1.3.4 (as kept by 256foundation/asic-rs,
Apache-2.0).
"""

import msgspec

from mbongi.wire.tolerant import TolerantDecoder

HOME_MARK = b"AnthillOS"
API = "/api/v1/"
INFO, SUMMARY, STATUS, SETTINGS = (f"{API}{name}" for name in ("info", "summary", "status", "settings"))
CHAINS, FACTORY, UNLOCK = f"{API}chains", f"{API}chains/factory-info", f"{API}unlock"
PRESETS = f"{API}autotune/presets"
UPGRADE = f"{API}firmware/update"
STOP, START, RESTART, REBOOT = (
    f"{API}{name}" for name in ("mining/stop", "mining/start", "mining/restart", "system/reboot")
)
RESTING = {"stopped", "shutting-down"}
"""Words of ``miner_state`` for a machine that is told not to mine."""
RISING = {"initializing", "starting", "restarting", "auto-tuning"}
FAILURE = "failure"
OWN_POOL = "UserPool"
"""``pool_type`` of the owner's pools; the others take the firmware's fee, which is no hijack."""
SCHEME = "stratum+tcp://"


class Network(msgspec.Struct, gc=False):
    """Where the machine is in the network."""

    mac: str = ""
    hostname: str = ""


class System(msgspec.Struct, gc=False):
    """The part of ``info`` about the control board."""

    network_status: Network = msgspec.field(default_factory=Network)


class Info(msgspec.Struct, gc=False):
    """``info``."""

    miner: str = ""
    platform: str = ""
    fw_name: str = ""
    fw_version: str = ""
    build_uuid: str = ""
    serial: str = ""
    system: System = msgspec.field(default_factory=System)


class MinerStatus(msgspec.Struct, gc=False):
    """What the miner program does; ``miner_state_time`` seconds in that state."""

    miner_state: str = ""
    miner_state_time: float | None = None
    description: str | None = None
    failure_code: int | None = None


class Status(MinerStatus):
    """``status``: that, and what waits for a restart."""

    find_miner: bool | None = None
    restart_required: bool | None = None
    reboot_required: bool | None = None


class Range(msgspec.Struct, gc=False):
    """The coldest and the hottest sensor of a kind."""

    min: float | None = None
    max: float | None = None


class ChainStatus(msgspec.Struct, gc=False):
    """What a board does."""

    state: str = ""
    description: str | None = None


class Chain(msgspec.Struct, gc=False):
    """One board in ``summary``, counted from 1."""

    id: int = 0
    frequency: float | None = None
    voltage: float | None = None
    hashrate_ideal: float | None = None
    hashrate_rt: float | None = None
    hw_errors: float | None = None
    pcb_temp: Range = msgspec.field(default_factory=Range)
    chip_temp: Range = msgspec.field(default_factory=Range)
    status: ChainStatus = msgspec.field(default_factory=ChainStatus)


class Fan(msgspec.Struct, gc=False):
    """One fan."""

    id: int = 0
    rpm: float | None = None


class Cooling(msgspec.Struct, gc=False):
    """The fans; ``fan_duty`` in per cent."""

    fans: list[Fan] = []
    fan_duty: float | None = None


class PoolStats(msgspec.Struct, gc=False):
    """One pool in use; its address has no scheme."""

    id: int = 0
    url: str = ""
    user: str = ""
    pool_type: str = OWN_POOL
    status: str = ""
    accepted: int | None = None
    rejected: int | None = None
    stale: int | None = None


class MinerStats(msgspec.Struct, gc=False):
    """The one part of ``summary``."""

    miner_status: MinerStatus = msgspec.field(default_factory=MinerStatus)
    hr_realtime: float | None = None
    hr_nominal: float | None = None
    hr_average: float | None = None
    power_consumption: float | None = None
    hw_errors: float | None = None
    chip_temp: Range = msgspec.field(default_factory=Range)
    pcb_temp: Range = msgspec.field(default_factory=Range)
    cooling: Cooling = msgspec.field(default_factory=Cooling)
    chains: list[Chain] = []
    pools: list[PoolStats] = []


class Summary(msgspec.Struct, gc=False):
    """``summary``; None while there is no miner program."""

    miner: MinerStats | None = None


class Chip(msgspec.Struct, gc=False):
    """One chip in ``chains``."""

    hr: float | None = None
    temp: float | None = None


class ChainChips(msgspec.Struct, gc=False):
    """One board's chips."""

    id: int = 0
    chips: list[Chip] = []


class FactoryChain(msgspec.Struct, gc=False):
    """What is written in a board's memory."""

    id: int = 0
    serial: str = ""


class Factory(msgspec.Struct, gc=False):
    """``chains/factory-info``."""

    psu_model: str | None = None
    chains: list[FactoryChain] | None = None


class Pool(msgspec.Struct, gc=False):
    """A pool as configured; its password is not read."""

    url: str = ""
    user: str = ""


class Overclock(msgspec.Struct, gc=False):
    """The preset in use: its watts as text, or ``disabled``."""

    preset: str | None = None


class MinerSettings(msgspec.Struct, gc=False):
    """The miner's part of ``settings``."""

    pools: list[Pool] = []
    overclock: Overclock = msgspec.field(default_factory=Overclock)


class Settings(msgspec.Struct, gc=False):
    """``settings``, as far as it is read."""

    miner: MinerSettings = msgspec.field(default_factory=MinerSettings)


class Preset(msgspec.Struct, gc=False):
    """A power that the machine can run at: ``name`` is its watts as text, or ``disabled``."""

    name: str = ""
    modded_psu_required: bool = False


class Saved(msgspec.Struct, gc=False):
    """The answer to a write of settings."""

    restart_required: bool = False
    reboot_required: bool = False


class Token(msgspec.Struct, gc=False):
    """The answer to ``unlock``."""

    token: str = ""


class _PresetList(msgspec.Struct, gc=False):
    rows: list[Preset] = []


class _ChainList(msgspec.Struct, gc=False):
    rows: list[ChainChips] = []


decode_info = TolerantDecoder(Info, what="vnish info")
decode_summary = TolerantDecoder(Summary, what="vnish summary")
decode_status = TolerantDecoder(Status, what="vnish status")
decode_factory = TolerantDecoder(Factory, what="vnish factory info")
decode_settings = TolerantDecoder(Settings, what="vnish settings")
decode_saved = TolerantDecoder(Saved, what="vnish answer to settings")
decode_token = TolerantDecoder(Token, what="vnish answer to unlock")
_decode_presets = TolerantDecoder(_PresetList, what="vnish presets")
_decode_chains = TolerantDecoder(_ChainList, what="vnish chains")


def decode_chains(data: bytes) -> list[ChainChips]:
    """``chains``, a bare list. Raises WireError where it cannot be read."""
    return _decode_chains(b'{"rows":%b}' % data).rows


def decode_presets(data: bytes) -> list[Preset]:
    """``autotune/presets``, a bare list. Raises WireError where it cannot be read."""
    return _decode_presets(b'{"rows":%b}' % data).rows


def with_scheme(url: str) -> str:
    """A pool's address as other families state it."""
    return url if "://" in url or not url else SCHEME + url


def without_scheme(url: str) -> str:
    """A pool's address as this firmware states it."""
    return url.removeprefix(SCHEME)
