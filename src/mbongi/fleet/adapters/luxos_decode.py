"""LuxOS replies into readings and details. Pure."""

import math

from mbongi.fleet.reading import BoardDetail, ErrorDetail, MachineDetail, MachineReading, PoolDetail
from mbongi.fleet.rules.figures import count, finite, largest
from mbongi.wire.luxos import (
    ConfigRow,
    DevRow,
    EventRow,
    FanRow,
    Joined,
    PoolRow,
    ProfileRow,
    SummaryRow,
    VersionRow,
    chips_of,
)

GHS_PER_THS = 1e3
MHS_PER_THS = 1e6


def row_of(joined: Joined) -> SummaryRow:
    """The summary's row; an empty one while the miner program has none."""
    rows = joined.summary[0].summary if joined.summary else []
    return rows[0] if rows else SummaryRow()


def config_of(joined: Joined) -> ConfigRow:
    """The configuration's row."""
    rows = joined.config[0].config if joined.config else []
    return rows[0] if rows else ConfigRow()


def devs_of(joined: Joined) -> list[DevRow]:
    """The boards, in the order of their slots."""
    return sorted(joined.devs[0].devs if joined.devs else [], key=lambda row: row.id)


def read_joined(joined: Joined, reading: MachineReading) -> None:
    """Fill a reading from ``summary``, ``devs``, ``fans``, ``temps``, ``power`` and ``stats``."""
    row = row_of(joined)
    reading.hashrate_ths = finite(row.ghs_5s) / GHS_PER_THS
    reading.hashrate_av_ths = finite(row.ghs_av) / GHS_PER_THS
    reading.accepted, reading.rejected, reading.stale = finite(row.accepted), finite(row.rejected), finite(row.stale)
    reading.uptime_s, reading.hw_errors = finite(row.elapsed), finite(row.hw_errors)
    if joined.power and joined.power[0].power:
        reading.power_w = finite(joined.power[0].power[0].watts)
    fans = fans_of(joined)
    for name, fan in zip(("fan1_rpm", "fan2_rpm", "fan3_rpm", "fan4_rpm"), fans, strict=False):
        setattr(reading, name, finite(fan.rpm))
    if fans:
        reading.fan_duty_pct = finite(fans[0].speed)
    temps = joined.temps[0].temps if joined.temps else []
    reading.board_temp_max_c = largest([corner for temp in temps for corner in temp.corners])
    _read_boards(joined, reading)


def _read_boards(joined: Joined, reading: MachineReading) -> None:
    stats = joined.stats[0].stats if joined.stats else []
    rows = devs_of(joined)
    rates = {row.id: finite(row.mhs_5s) / MHS_PER_THS for row in rows}
    reading.board_count = float(sum(1 for rate in rates.values() if rate > 0))
    nominal = sum(row.nominal_mhs or 0.0 for row in rows) / MHS_PER_THS
    if nominal > 0:
        reading.hashrate_nominal_ths = nominal
    if stats:
        reading.chips = float(sum(chips_of(stats, row.id) or 0 for row in rows))
        reading.frequency_mhz = finite(_number(stats[-1].get("total_freqavg")))
    for name, index in (("board1_ths", 0), ("board2_ths", 1), ("board3_ths", 2)):
        setattr(reading, name, rates.get(index, math.nan))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def boards(joined: Joined) -> list[BoardDetail]:
    """The boards for people."""
    stats = joined.stats[0].stats if joined.stats else []
    return [
        BoardDetail(
            index=row.id + 1,
            serial=row.serial,
            hashrate_ths=None if row.mhs_5s is None else row.mhs_5s / MHS_PER_THS,
            nominal_ths=None if row.nominal_mhs is None else row.nominal_mhs / MHS_PER_THS,
            chips=chips_of(stats, row.id),
            board_temp_c=row.temperature,
            hw_errors=count(row.hw_errors),
        )
        for row in devs_of(joined)
    ]


def pools(rows: list[PoolRow]) -> list[PoolDetail]:
    """The pools in their order of preference."""
    return [
        PoolDetail(
            url=row.url,
            user=row.user,
            status=row.status,
            active=row.active,
            accepted=row.accepted,
            rejected=row.rejected,
            stale=row.stale,
        )
        for row in in_order(rows)
    ]


def in_order(rows: list[PoolRow]) -> list[PoolRow]:
    """Configured pools, group by group, the preferred first."""
    return sorted((row for row in rows if row.url), key=lambda row: (row.group, row.priority, row.id))


def errors(rows: list[EventRow]) -> list[ErrorDetail]:
    """The events that the machine lists."""
    return [ErrorDetail(code=row.code, text=row.text, since=row.since) for row in rows]


def put_slow(detail: MachineDetail, joined: Joined) -> None:
    """Fill in pools, boards, fans, profile, events, and who the machine is."""
    config = config_of(joined)
    detail.boards, detail.fans_rpm = boards(joined), [fan.rpm for fan in fans_of(joined) if fan.rpm is not None]
    detail.pools = pools(joined.pools[0].pools if joined.pools else [])
    detail.errors = errors(joined.events[0].events if joined.events else [])
    detail.work_mode = "sleep" if config.rests else config.profile
    detail.power_limit_w = profile_w(config.profile, joined.profiles[0].profiles if joined.profiles else [])
    detail.light_on = config.red_led.lower() in {"blink", "on"} if config.red_led else None
    put_config(detail, config)


def fans_of(joined: Joined) -> list[FanRow]:
    """The fans, in the order of their numbers."""
    return sorted(joined.fans[0].fans if joined.fans else [], key=lambda fan: fan.id)


def profile_w(name: str, rows: list[ProfileRow]) -> float | None:
    """What a profile draws by the machine's own table; None where that lacks it."""
    return next((row.watts for row in rows if row.name == name), None)


def put_config(detail: MachineDetail, config: ConfigRow) -> None:
    """Fill in who the machine is."""
    if config.mac:
        detail.mac, detail.serial, detail.hostname = config.mac.upper(), config.serial, config.hostname
    detail.model = config.model or detail.model
    detail.control_board, detail.psu_model = config.control_board, config.psu


def put_version(detail: MachineDetail, rows: list[VersionRow]) -> None:
    """Fill in firmware and, where the configuration lacks it, the model."""
    if rows:
        detail.firmware = f"LuxOS {rows[0].miner}"
        detail.model = detail.model or rows[0].type
