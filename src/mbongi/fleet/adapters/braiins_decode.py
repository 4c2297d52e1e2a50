"""Braiins OS' replies into readings and details. Pure."""

import math
from datetime import UTC, datetime, timedelta

from mbongi.fleet.reading import BoardDetail, ErrorDetail, MachineDetail, MachineReading, PoolDetail, Verdict
from mbongi.fleet.rules.figures import finite, largest, mean, verdict
from mbongi.fleet.values import MachineState
from mbongi.wire import braiins
from mbongi.wire.braiins import (
    Board,
    Configuration,
    Cooling,
    Details,
    Error,
    Group,
    Rate,
    Sensor,
    Stats,
    Temperature,
)

ERRORS_MAX = 20
UPTIME_S_MAX = 10 * 365 * 86400.0
"""No machine has run for longer; more is a mistake of its clock."""
WARM_UP_S = 1200.0
"""Chosen: a captured machine had tuned itself within two hours; its tuning was not captured."""
_WORDS = {braiins.SUSPENDED: "the machine states: suspended", braiins.RESTRICTED: "the machine states: restricted"}


def ths(rate: Rate | None) -> float:
    """A rate [TH/s]; NaN where none is stated."""
    return finite(None if rate is None else rate.ths)


def degrees(found: Temperature | None) -> float:
    """A temperature; NaN where none is stated."""
    return finite(None if found is None else found.degree_c)


def hottest(sensor: Sensor | None) -> float:
    """A sensor's temperature; NaN where none is stated."""
    return degrees(None if sensor is None else sensor.temperature)


def read_stats(stats: Stats, boards: list[Board], cooling: Cooling, reading: MachineReading) -> None:
    """Fill a reading from ``miner/stats``, ``miner/hw/hashboards`` and ``cooling/state``."""
    work, shares = stats.miner_stats, stats.pool_stats
    reading.hashrate_ths = ths(work.real_hashrate.last_5s)
    reading.hashrate_av_ths = ths(work.real_hashrate.since_restart)
    nominal = ths(work.nominal_hashrate)
    if nominal > 0:
        reading.hashrate_nominal_ths = nominal
    power = stats.power_stats.approximated_consumption
    reading.power_w = finite(None if power is None else power.watt)
    reading.accepted, reading.rejected = finite(shares.accepted_shares), finite(shares.rejected_shares)
    reading.stale = finite(shares.stale_shares)
    reading.chip_temp_max_c = hottest(cooling.highest_temperature)
    fans = sorted(cooling.fans, key=lambda fan: fan.position)
    for name, fan in zip(("fan1_rpm", "fan2_rpm", "fan3_rpm", "fan4_rpm"), fans, strict=False):
        setattr(reading, name, finite(fan.rpm))
    if fans:
        reading.fan_duty_pct = finite(fans[0].target_speed_ratio) * 100.0
    _read_boards(boards, reading)


def _read_boards(boards: list[Board], reading: MachineReading) -> None:
    rates = {board.id: ths(board.stats.real_hashrate.last_5s) for board in boards}
    temps = {board.id: hottest(board.highest_chip_temp) for board in boards}
    reading.board_count = float(sum(1 for rate in rates.values() if rate > 0))
    reading.chips = float(sum(board.chips_count or 0 for board in boards))
    reading.board_temp_max_c = largest([0.0 if math.isnan(t) else t for t in (degrees(b.board_temp) for b in boards)])
    reading.frequency_mhz = mean([_mhz(board) or 0.0 for board in boards])
    reading.voltage_v = mean(
        [(board.current_voltage.volt or 0.0) if board.current_voltage else 0.0 for board in boards]
    )
    for number, rate, temp in (
        (1, "board1_ths", "board1_temp_c"),
        (2, "board2_ths", "board2_temp_c"),
        (3, "board3_ths", "board3_temp_c"),
    ):
        setattr(reading, rate, rates.get(number, math.nan))
        setattr(reading, temp, temps.get(number, math.nan))


def _mhz(board: Board) -> float | None:
    found = board.current_frequency
    return None if found is None or found.hertz is None else found.hertz / 1e6


def judge(details: Details | None, reading: MachineReading) -> Verdict:
    """The state; ``details`` None where the machine hashes, which makes it needless to ask."""
    status = None if details is None else details.status
    found = verdict(
        hashrate_ths=reading.hashrate_ths,
        nominal_ths=reading.hashrate_nominal_ths,
        uptime_s=0.0 if details is None else details.bosminer_uptime_s or 0.0,
        warm_up_s=WARM_UP_S,
        resting=status in {braiins.PAUSED, braiins.NOT_STARTED},
    )
    if found.state is MachineState.SLEEPING and status == braiins.NOT_STARTED and details is not None:
        # Just after its start the program is "not started" as well; later somebody has stopped it.
        return Verdict(MachineState.STARTING, "miner program not yet running") if _is_fresh(details) else found
    if found.state is not MachineState.MINING and status in _WORDS:
        return Verdict(MachineState.FAULT, _WORDS[status])
    return found


def _is_fresh(details: Details) -> bool:
    return details.system_uptime_s is not None and details.system_uptime_s < WARM_UP_S / 4


def rests(details: Details) -> bool:
    """Whether it is told not to mine."""
    return details.status in {braiins.PAUSED, braiins.NOT_STARTED}


def boards(rows: list[Board]) -> list[BoardDetail]:
    """The boards for people."""
    return [
        BoardDetail(
            index=row.id,
            serial=row.serial_number or "",
            hashrate_ths=_or_none(ths(row.stats.real_hashrate.last_5s)),
            nominal_ths=_or_none(ths(row.stats.nominal_hashrate)),
            chips=row.chips_count,
            chip_temp_max_c=_or_none(hottest(row.highest_chip_temp)),
            board_temp_c=_or_none(degrees(row.board_temp)),
            frequency_mhz=_mhz(row),
        )
        for row in sorted(rows, key=lambda row: row.id)
    ]


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def pools(groups: list[Group]) -> list[PoolDetail]:
    """The pools, group by group, in their order."""
    return [
        PoolDetail(
            url=pool.url,
            user=pool.user,
            status="alive" if pool.alive else "disabled" if pool.enabled is False else "dead",
            active=pool.active,
            accepted=pool.stats.accepted_shares,
            rejected=pool.stats.rejected_shares,
            stale=pool.stats.stale_shares,
        )
        for group in groups
        for pool in group.pools
    ]


def errors(rows: list[Error], *, now: datetime, uptime_s: float | None) -> list[ErrorDetail]:
    """The errors with a code since the miner program started, the newest of each code."""
    ran_s = min(uptime_s, UPTIME_S_MAX) if uptime_s is not None and uptime_s > 0 else 0.0
    start = now - timedelta(seconds=ran_s)
    newest: dict[str, ErrorDetail] = {}
    for row in rows:
        if (at := _moment(row.timestamp)) is None or at < start:
            continue
        for code in row.error_codes:
            newest[code.code] = ErrorDetail(code=code.code, text=code.reason or row.message, since=row.timestamp)
    return list(newest.values())[-ERRORS_MAX:]


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def put_details(detail: MachineDetail, details: Details) -> None:
    """Fill in who the machine is."""
    detail.model = details.miner_identity.miner_model or details.miner_identity.name
    detail.mac, detail.serial = details.mac_address.upper(), details.serial_number or ""
    detail.hostname, detail.firmware = details.hostname, f"Braiins OS {details.bos_version.current}".strip()
    detail.psu_model = (details.psu_info.model_name or "") if details.psu_info is not None else ""


def put_configuration(detail: MachineDetail, found: Configuration) -> None:
    """Fill in what the tuner and the fans are told."""
    detail.power_limit_w = power_target_w(found)
    mode = (found.temperature.mode if found.temperature is not None else None) or {}
    if mode:
        detail.fan_auto = "manual" not in mode
        detail.fan_percent = fan_percent(found)


def power_target_w(found: Configuration) -> float | None:
    """The power that the tuner aims at; None where it aims at something else."""
    tuner = found.tuner
    if tuner is None or tuner.tuner_mode != braiins.TUNES_POWER or tuner.power_target is None:
        return None
    return tuner.power_target.watt


def fan_percent(found: Configuration) -> float | None:
    """What the fans are fixed at; None where the machine steers them."""
    mode = (found.temperature.mode if found.temperature is not None else None) or {}
    manual = mode.get("manual")
    ratio = manual.get("fan_speed_ratio") if isinstance(manual, dict) else None
    return round(ratio * 100.0, 1) if isinstance(ratio, int | float) else None
