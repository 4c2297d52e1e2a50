"""Answers of Whatsminers' API 3 into readings and details. Pure."""

import math

from mbongi.fleet.adapters.whatsminer_decode import error_text, model_name
from mbongi.fleet.reading import BoardDetail, ErrorDetail, MachineDetail, MachineReading, PoolDetail
from mbongi.fleet.rules.figures import finite, largest, mean
from mbongi.wire import btminer_v3
from mbongi.wire.btminer_v3 import Board, Info, Status, Summary

MODES = {"0": "low", "1": "normal", "2": "high"}


def read_status(status: Status, reading: MachineReading) -> None:
    """Fill a reading from ``summary`` and ``edevs``; API 3 states no shares."""
    row = status.summary or Summary()
    rate = row.hash_realtime if row.hash_realtime is not None else row.hash_average
    reading.hashrate_ths, reading.hashrate_av_ths = finite(rate), finite(row.hash_average)
    if row.factory_hash:
        reading.hashrate_nominal_ths = row.factory_hash
    reading.power_w, reading.power_limit_w = finite(row.power_realtime), finite(row.power_limit)
    reading.inlet_temp_c = finite(row.environment_temperature)
    reading.chip_temp_max_c, reading.chip_temp_avg_c = finite(row.chip_temp_max), finite(row.chip_temp_avg)
    reading.board_temp_max_c = largest(row.board_temperature)
    reading.fan1_rpm, reading.fan2_rpm = finite(row.fan_speed_in), finite(row.fan_speed_out)
    reading.frequency_mhz, reading.uptime_s = finite(row.freq_avg), finite(row.elapsed)
    if status.edevs is not None:
        _read_boards(status.edevs, reading)


def _read_boards(rows: list[Board], reading: MachineReading) -> None:
    rates = [_board_rate(row) for row in rows]
    reading.board_count = float(sum(1 for rate in rates if rate > 0))
    if any(row.effective_chips is not None for row in rows) or not rows:
        reading.chips = float(sum(row.effective_chips or 0 for row in rows))
    if math.isnan(reading.frequency_mhz):
        reading.frequency_mhz = mean([row.freq or 0.0 for row in rows])
    for place, row in enumerate(rows):
        index = row.id if row.id >= 0 else place
        if index == 0:
            reading.board1_ths, reading.board1_temp_c = rates[place], finite(row.chip_temp_max)
        elif index == 1:
            reading.board2_ths, reading.board2_temp_c = rates[place], finite(row.chip_temp_max)
        elif index == 2:
            reading.board3_ths, reading.board3_temp_c = rates[place], finite(row.chip_temp_max)


def _board_rate(row: Board) -> float:
    return finite(row.hash_realtime if row.hash_realtime is not None else row.hash_average)


def put_status(detail: MachineDetail, status: Status, info: Info) -> None:
    """Fill in pools, boards and fans."""
    row, miner = status.summary or Summary(), info.miner or btminer_v3.Miner()
    serials = miner.board_serials()
    detail.fans_rpm = [rpm for rpm in (row.fan_speed_in, row.fan_speed_out) if rpm is not None]
    detail.pools, detail.power_limit_w = pools(status), row.power_limit
    detail.boards = [
        BoardDetail(
            index=(index := board.id if board.id >= 0 else place) + 1,
            serial=serials[index] if index < len(serials) else "",
            hashrate_ths=None if math.isnan(rate := _board_rate(board)) else rate,
            nominal_ths=board.factory_hash,
            chips=board.effective_chips,
            chip_temp_max_c=board.chip_temp_max,
            board_temp_c=row.board_temperature[place] if place < len(row.board_temperature) else None,
            frequency_mhz=board.freq,
        )
        for place, board in enumerate(status.edevs or [])
    ]


def pools(status: Status) -> list[PoolDetail]:
    """The pools in their order of preference; API 3 never states their passwords."""
    rows = sorted(status.pools or [], key=lambda row: row.pool_priority if row.pool_priority is not None else 99)
    return [
        PoolDetail(url=row.url, user=row.account, status=row.status.capitalize(), active=row.stratum_active)
        for row in rows
        if row.url
    ]


def put_info(detail: MachineDetail, info: Info) -> None:
    """Fill in what get.device.info tells."""
    if info.miner is not None:
        detail.serial = info.miner.miner_sn
        detail.model = model_name(info.miner.type) if info.miner.type else detail.model
    if info.network is not None:
        detail.mac, detail.hostname = info.network.mac.upper(), info.network.hostname
    if info.power is not None:
        detail.psu_model = info.power.model
    if info.system is not None:
        detail.firmware = info.system.fwversion
        detail.control_board = info.system.control_board or info.system.platform
        detail.light_on = info.system.ledstatus != "auto" if info.system.ledstatus else None
    detail.work_mode = "sleep" if rests(info) else mode(info)
    detail.errors = [
        ErrorDetail(code=code, text=error_text(code) or reason, since=since)
        for code, reason, since in btminer_v3.error_codes(info.errors)
    ]


def mode(info: Info) -> str:
    """``low``, ``normal``, ``high``; empty where it is not stated."""
    word = info.power.mode if info.power is not None else ""
    return MODES.get(word, word)


def rests(info: Info) -> bool:
    """Whether the machine is told not to mine."""
    return info.miner is not None and info.miner.working.lower() == "false"
