"""What a poll yields: one telemetry row per machine and poll, and the slower facts for people. Pure.

``MachineReading`` has the columns of ``machine_reading.csv``, in its order (a test keeps them equal), so
``msgspec.structs.astuple(reading)`` is a row. Figures that nobody knows are NaN, never 0.
"""

import math
from dataclasses import dataclass

import msgspec

from mbongi.base.ids import MachineId, TenantId
from mbongi.fleet.values import Family, MachineState

NAN = math.nan


@dataclass(frozen=True, slots=True)
class Verdict:
    """A poll's word on the state, with the reason where it is not simply mining."""

    state: MachineState
    reason: str = ""


class MachineReading(msgspec.Struct, gc=False, kw_only=True):
    """One row of telemetry. Units and meanings: ``machine_reading.csv``; ``ts`` is milliseconds since 1970, UTC."""

    ts: int
    machine_id: int
    tenant_id: int = 0
    rack: str = ""
    model: str = ""
    state: int = MachineState.UNKNOWN.value
    hashrate_ths: float = NAN
    hashrate_av_ths: float = NAN
    hashrate_nominal_ths: float = NAN
    power_w: float = NAN
    power_estimated: int = 0
    power_limit_w: float = NAN
    efficiency_jth: float = NAN
    inlet_temp_c: float = NAN
    chip_temp_max_c: float = NAN
    chip_temp_avg_c: float = NAN
    board_temp_max_c: float = NAN
    psu_temp_c: float = NAN
    fan1_rpm: float = NAN
    fan2_rpm: float = NAN
    fan3_rpm: float = NAN
    fan4_rpm: float = NAN
    fan_duty_pct: float = NAN
    board_count: float = NAN
    board_expected: float = NAN
    chips: float = NAN
    chips_expected: float = NAN
    board1_ths: float = NAN
    board2_ths: float = NAN
    board3_ths: float = NAN
    board1_temp_c: float = NAN
    board2_temp_c: float = NAN
    board3_temp_c: float = NAN
    frequency_mhz: float = NAN
    voltage_v: float = NAN
    accepted: float = NAN
    rejected: float = NAN
    stale: float = NAN
    hw_errors: float = NAN
    reject_ratio: float = NAN
    uptime_s: float = NAN
    pool: str = ""
    pool_side_ths: float = NAN
    pool_side_low_ths: float = NAN
    pool_side_high_ths: float = NAN
    error_count: float = NAN
    poll_ms: float = NAN
    detail_age_s: float = NAN
    span_s: float = NAN


class PoolDetail(msgspec.Struct, gc=False, kw_only=True):
    """One pool as the machine states it; never its password."""

    url: str
    user: str = ""
    status: str = ""
    active: bool | None = None
    accepted: int | None = None
    rejected: int | None = None
    stale: int | None = None


class BoardDetail(msgspec.Struct, gc=False, kw_only=True):
    """One hash board, counted from 1; None where the machine does not say."""

    index: int
    serial: str = ""
    hashrate_ths: float | None = None
    nominal_ths: float | None = None
    chips: int | None = None
    chips_expected: int | None = None
    chip_temp_max_c: float | None = None
    board_temp_c: float | None = None
    frequency_mhz: float | None = None
    hw_errors: int | None = None


class ErrorDetail(msgspec.Struct, gc=False, frozen=True):
    """An error that the machine states at present: its own code and words; ``since`` as the machine writes it."""

    code: str
    text: str = ""
    since: str = ""


class MachineDetail(msgspec.Struct, kw_only=True):
    """The slow and static facts of one machine. Empty text and None mean: not stated."""

    mac: str = ""
    serial: str = ""
    hostname: str = ""
    firmware: str = ""
    model: str = ""
    control_board: str = ""
    psu_model: str = ""
    work_mode: str = ""
    """What the machine is told to do, in its maker's word: normal, low, high, sleep …"""
    power_limit_w: float | None = None
    fan_auto: bool | None = None
    """Whether the fans follow the machine's own control; ``fan_percent`` is what they are fixed at otherwise."""
    fan_percent: float | None = None
    light_on: bool | None = None
    image: str = ""
    """Of its firmware, the SHA-256 or the maker's own mark of the build, where it states one."""
    sign_in: str = ""
    """What became of our password: a word of ``values.SignIn``."""
    pools: list[PoolDetail] = []
    boards: list[BoardDetail] = []
    fans_rpm: list[float] = []
    errors: list[ErrorDetail] = []


class Stated(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine states of the settings that a profile speaks of; None is unknown, never guessed.

    ``pools`` are (url, user) in their order; ``mode`` is in the maker's word; ``fan_percent`` None with ``fan_auto``
    True is the machine's own control; ``image`` is its firmware's SHA-256, which few state.
    """

    pools: tuple[tuple[str, str], ...] | None = None
    mode: str | None = None
    power_limit_w: float | None = None
    fan_auto: bool | None = None
    fan_percent: float | None = None
    firmware: str | None = None
    image: str | None = None
    hostname: str | None = None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A machine to poll."""

    machine_id: MachineId
    address: str
    family: Family
    model: str = ""
    rack: str = ""
    """Machines of one rack are asked together and their readings leave in one batch."""
    tenant_id: TenantId = TenantId(0)
    mac: str = ""
    serial: str = ""
    """Who it is, as far as that is known."""


class StateChange(msgspec.Struct, frozen=True, kw_only=True):
    """A machine's state became another. ``at_ms`` is milliseconds since 1970, UTC; ``reason`` is for people."""

    machine_id: MachineId
    state: MachineState
    before: MachineState | None
    """None on the first word about a machine."""
    at_ms: int
    reason: str = ""


class DetailReport(msgspec.Struct, frozen=True, kw_only=True):
    """A machine's slow and static facts, after a poll that renewed them."""

    machine_id: MachineId
    detail: MachineDetail


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A live address of a scan. ``family`` is None where it answers but is no machine that we know."""

    address: str
    family: Family | None = None
    model: str = ""
    mac: str = ""
    serial: str = ""
    firmware: str = ""
    hostname: str = ""
    ports: tuple[int, ...] = ()
    """The ports that accepted a connection."""
    hung: bool = False
    """True where a port accepted the connection and then no byte came within the time limit."""
