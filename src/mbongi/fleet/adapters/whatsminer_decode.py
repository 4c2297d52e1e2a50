"""btminer replies into readings and details. Pure."""

import csv
import functools
import math
import re
from importlib.resources import files

from mbongi.fleet.reading import BoardDetail, ErrorDetail, MachineDetail, MachineReading, PoolDetail
from mbongi.fleet.rules.figures import finite, largest, mean
from mbongi.wire import btminer
from mbongi.wire.btminer import DevRow, Joined, SummaryRow

MHS_PER_THS = 1e6
_MODEL = re.compile(r"(M\d+\w*?\+*)_?(V\w\d*)?", re.IGNORECASE)


def row_of(joined: Joined) -> SummaryRow:
    """The summary's row."""
    return joined.summary[0].rows[0]


def read_joined(joined: Joined, reading: MachineReading) -> None:
    """Fill a reading from ``summary`` and ``devs``."""
    row = row_of(joined)
    rate = row.hs_rt if row.hs_rt is not None else row.mhs_5s
    reading.hashrate_ths = finite(rate if rate is not None else row.mhs_av) / MHS_PER_THS
    reading.hashrate_av_ths = finite(row.mhs_av) / MHS_PER_THS
    if row.factory_ghs:
        reading.hashrate_nominal_ths = row.factory_ghs / 1000.0
    reading.power_w = finite(row.power_rt if row.power_rt is not None else row.power)
    reading.power_limit_w = finite(row.power_limit)
    reading.inlet_temp_c = finite(row.env_temp)
    reading.chip_temp_max_c, reading.chip_temp_avg_c = finite(row.chip_temp_max), finite(row.chip_temp_avg)
    reading.fan1_rpm, reading.fan2_rpm = finite(row.fan_in), finite(row.fan_out)
    reading.voltage_v = finite(row.voltage) / 100.0
    reading.accepted, reading.rejected = finite(row.accepted), finite(row.rejected)
    reading.stale, reading.hw_errors = finite(row.stale), finite(row.hw_errors)
    reading.uptime_s = finite(row.elapsed)
    reading.error_count = finite(row.error_count)
    reading.frequency_mhz = finite(row.freq_avg)
    reading.board_temp_max_c = finite(row.temperature)
    if joined.devs:
        _read_boards(joined.devs[0].rows, reading)


def _read_boards(rows: list[DevRow], reading: MachineReading) -> None:
    rates = [_board_rate(row) for row in rows]
    reading.board_count = float(sum(1 for rate in rates if rate > 0))
    if any(row.chips is not None for row in rows) or not rows:
        reading.chips = float(sum(row.chips or 0 for row in rows))
    if math.isnan(reading.board_temp_max_c):
        reading.board_temp_max_c = largest([row.temperature or 0.0 for row in rows])
    if math.isnan(reading.frequency_mhz):
        reading.frequency_mhz = mean([row.frequency or 0.0 for row in rows])
    if math.isnan(reading.hw_errors) and any(row.hw_errors is not None for row in rows):
        reading.hw_errors = sum(row.hw_errors or 0.0 for row in rows)
    for place, row in enumerate(rows):
        index = row.slot if row.slot >= 0 else place
        if index == 0:
            reading.board1_ths, reading.board1_temp_c = rates[place], finite(row.chip_temp_max)
        elif index == 1:
            reading.board2_ths, reading.board2_temp_c = rates[place], finite(row.chip_temp_max)
        elif index == 2:
            reading.board3_ths, reading.board3_temp_c = rates[place], finite(row.chip_temp_max)


def _board_rate(row: DevRow) -> float:
    rate = row.mhs_5s if row.mhs_5s is not None else row.mhs_av
    return finite(rate) / MHS_PER_THS


def boards(rows: list[DevRow]) -> list[BoardDetail]:
    """The boards for people."""
    return [
        BoardDetail(
            index=(row.slot if row.slot >= 0 else place) + 1,
            serial=row.serial,
            hashrate_ths=None if math.isnan(rate := _board_rate(row)) else rate,
            nominal_ths=None if row.factory_ghs is None else row.factory_ghs / 1000.0,
            chips=row.chips,
            chip_temp_max_c=row.chip_temp_max,
            board_temp_c=row.temperature,
            frequency_mhz=row.frequency,
            hw_errors=None if row.hw_errors is None else int(row.hw_errors),
        )
        for place, row in enumerate(rows)
    ]


def rests(state: btminer.State) -> bool:
    """Whether the power switch is off; V1 has another name for it."""
    return "true" in {state.mineroff.lower(), state.btmineroff.lower()}


def stated_mode(state: btminer.State, row: SummaryRow) -> str:
    """The power mode in lower case; empty where it is not stated."""
    return (state.power_mode or row.power_mode).lower()


def stated_limit_w(state: btminer.State, row: SummaryRow) -> float | None:
    """The power limit that is set [W]; None where it is not stated."""
    return row.power_limit if state.power_limit_set is None else state.power_limit_set


def errors(found: btminer.ErrorCodes | None, row: SummaryRow) -> list[ErrorDetail]:
    """Error codes that stand; V1 has no such command and states them in its summary."""
    pairs = btminer.error_codes(found.error_code) if found is not None else []
    if not pairs:
        pairs = [(str(code), "") for code in row.codes()]
    return [ErrorDetail(code=code, text=error_text(code), since=since) for code, since in pairs]


def error_text(code: str) -> str:
    """What a code means, in English, after MicroBT's public list; empty where the list does not say."""
    return _error_texts().get(code, "")


@functools.cache
def _error_texts() -> dict[str, str]:
    with (files("mbongi.fleet.adapters") / "whatsminer_errors.csv").open(encoding="utf-8") as lines:
        return {row["code"]: row["text"] for row in csv.DictReader(lines)}


def pools(joined: Joined) -> list[PoolDetail]:
    """The configured pools; btminer never states their passwords."""
    return [
        PoolDetail(
            url=pool.URL,
            user=pool.User,
            status=pool.Status,
            active=pool.active,
            accepted=pool.Accepted,
            rejected=pool.Rejected,
            stale=pool.Stale,
        )
        for pool in (joined.pools[0].rows if joined.pools else [])
        if pool.URL
    ]


def put_slow(detail: MachineDetail, joined: Joined, state: btminer.State) -> None:
    """Fill in pools, boards, fans and mode."""
    row = row_of(joined)
    detail.boards = boards(joined.devs[0].rows) if joined.devs else []
    detail.fans_rpm = [rpm for rpm in (row.fan_in, row.fan_out) if rpm is not None]
    detail.pools = pools(joined)
    detail.work_mode = "sleep" if rests(state) else stated_mode(state, row)
    detail.power_limit_w = stated_limit_w(state, row)
    if row.mac:
        detail.mac = row.mac.upper()


def put_static(
    detail: MachineDetail,
    version: btminer.Version | None,
    info: btminer.MinerInfo | None,
) -> None:
    """Fill in what never changes."""
    if version is not None:
        detail.firmware, detail.control_board = version.fw_ver, version.platform
    if info is not None:
        detail.mac, detail.hostname, detail.serial = info.mac.upper() or detail.mac, info.hostname, info.minersn
        detail.light_on = info.ledstat != "auto" if info.ledstat else None


def put_model(detail: MachineDetail, devices: btminer.DevDetails) -> None:
    """Fill in the model, which the boards state."""
    for row in devices.rows:
        if row.Model:
            detail.model = model_name(row.Model)
            return


def model_name(model: str) -> str:
    """``M50S_VH30`` as ``Whatsminer M50S VH30``; what is not of that form keeps its own words."""
    found = _MODEL.fullmatch(model.strip())
    if found is None:
        return f"Whatsminer {model.strip()}"
    return " ".join(part for part in ("Whatsminer", found[1].upper(), (found[2] or "").upper()) if part)
