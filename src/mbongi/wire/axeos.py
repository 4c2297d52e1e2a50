"""AxeOS of a Bitaxe: ``/api/system/info`` and ``/api/system/asic``. No I/O.

Hashrates GH/s, power W, voltages mV, temperatures degC. Shape: a captured reply (``tests/wire/vectors``).
"""

import msgspec

from mbongi.wire.tolerant import TolerantDecoder

HOME_MARK = b"AxeOS"
INFO, ASIC = "/api/system/info", "/api/system/asic"
SYSTEM, RESTART, PAUSE, RESUME = "/api/system", "/api/system/restart", "/api/system/pause", "/api/system/resume"
UPGRADE = "/api/system/OTA"


class SystemInfo(msgspec.Struct, gc=False, rename="camel"):
    """The fields of ``/api/system/info`` that are used."""

    power: float | None = None
    voltage: float | None = None
    temp: float | None = None
    temp2: float | None = None
    vr_temp: float | None = None
    hash_rate: float | None = None
    expected_hashrate: float | None = None
    core_voltage: float | None = None
    core_voltage_actual: float | None = None
    frequency: float | None = None
    mac_addr: str = ""
    hostname: str = ""
    shares_accepted: float | None = None
    shares_rejected: float | None = None
    uptime_seconds: float | None = None
    asic_count: int | None = None
    small_core_count: int | None = None
    asic_model: str = msgspec.field(default="", name="ASICModel")
    stratum_url: str = msgspec.field(default="", name="stratumURL")
    stratum_port: int | None = None
    stratum_user: str = ""
    fallback_stratum_url: str = msgspec.field(default="", name="fallbackStratumURL")
    fallback_stratum_port: int | None = None
    fallback_stratum_user: str = ""
    is_using_fallback_stratum: int | None = None
    version: str = ""
    board_version: str = ""
    overheat_mode: int | None = msgspec.field(default=None, name="overheat_mode")
    mining_paused: bool | None = None
    power_fault: str | None = msgspec.field(default=None, name="power_fault")
    autofanspeed: int | None = None
    fanspeed: float | None = None
    manual_fan_speed: float | None = None
    fanrpm: float | None = None
    fan2rpm: float | None = None


class Asic(msgspec.Struct, gc=False, rename="camel"):
    """The fields of ``/api/system/asic`` that are used."""

    device_model: str = ""
    asic_count: int | None = None


decode_info = TolerantDecoder(SystemInfo, what="axeos system info")
decode_asic = TolerantDecoder(Asic, what="axeos asic")
