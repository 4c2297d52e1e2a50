"""Stock Antminer replies into readings and details. Pure."""

import math
from typing import Any

from mbongi.fleet.reading import BoardDetail, ErrorDetail, MachineDetail, MachineReading, PoolDetail
from mbongi.fleet.rules.figures import finite, largest, mean
from mbongi.wire import antminer
from mbongi.wire.antminer import Chain, StatsRow, SummaryPage

CHAINS_MAX = 16
FANS_MAX = 4


def read_stats(row: StatsRow, reading: MachineReading) -> None:
    """Fill a reading from ``stats.cgi``."""
    unit = antminer.unit_ths(row.rate_unit)
    reading.hashrate_ths = finite(row.rate_5s) * unit
    reading.hashrate_av_ths = finite(row.rate_avg) * unit
    if row.rate_ideal:
        reading.hashrate_nominal_ths = row.rate_ideal * unit
    reading.uptime_s = finite(row.elapsed)
    read_fans(row.fan, reading)
    read_chains(row.chain, unit, reading)


def read_fans(fans: list[float], reading: MachineReading) -> None:
    """Fill in up to four fans."""
    for name, rpm in zip(("fan1_rpm", "fan2_rpm", "fan3_rpm", "fan4_rpm"), fans, strict=False):
        setattr(reading, name, rpm)


def read_chains(chains: list[Chain], unit: float, reading: MachineReading) -> None:
    """Fill in what the boards say together and, for the first three, each."""
    hashing, chips, hw_errors = 0, 0, 0.0
    temps: list[float] = []
    board_temps: list[float] = []
    frequencies: list[float] = []
    for place, chain in enumerate(chains):
        rate = finite(chain.rate_real) * unit
        hottest = largest(chain.temp_chip)
        hashing += rate > 0
        chips += chain.asic_num or 0
        hw_errors += chain.hw or 0.0
        temps += chain.temp_chip
        board_temps += chain.temp_pcb
        frequencies.append(chain.freq_avg or 0.0)
        index = chain.index if chain.index >= 0 else place
        if index == 0:
            reading.board1_ths, reading.board1_temp_c = rate, hottest
        elif index == 1:
            reading.board2_ths, reading.board2_temp_c = rate, hottest
        elif index == 2:
            reading.board3_ths, reading.board3_temp_c = rate, hottest
    reading.board_count, reading.chips, reading.hw_errors = float(hashing), float(chips), hw_errors
    reading.chip_temp_max_c, reading.chip_temp_avg_c = largest(temps), mean(temps)
    reading.board_temp_max_c = largest(board_temps)
    reading.frequency_mhz = mean(frequencies)


def stats_of_rpc(row: dict[str, Any]) -> StatsRow:
    """The RPC command's numbered fields (``chain_rate1`` …) as the row that ``stats.cgi`` gives."""
    found = StatsRow(
        elapsed=_number(row.get("Elapsed")),
        rate_5s=_number(row.get("GHS 5s")),
        rate_avg=_number(row.get("GHS av")),
        rate_ideal=_number(row.get("total_rateideal")),
        rate_unit=str(row.get("rate_unit") or "GH"),
        fan=[_number(row.get(f"fan{number}")) or 0.0 for number in range(1, FANS_MAX + 1) if f"fan{number}" in row],
    )
    for number in range(1, CHAINS_MAX + 1):
        chips = int(_number(row.get(f"chain_acn{number}")) or 0)
        rate = _number(row.get(f"chain_rate{number}"))
        if chips or rate:
            found.chain.append(
                Chain(
                    index=number - 1,
                    freq_avg=_number(row.get(f"freq{number}")),
                    rate_real=rate,
                    asic_num=chips,
                    temp_pcb=_sensors(row.get(f"temp_pcb{number}")),
                    temp_chip=_sensors(row.get(f"temp_chip{number}")),
                    hw=_number(row.get(f"chain_hw{number}")),
                )
            )
    return found


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _sensors(text: Any) -> list[float]:
    """``78-50-69-70``; a sensor that reads below zero makes an empty part, which counts as broken."""
    return [_number(part) or 0.0 for part in str(text or "").split("-")]


def boards(row: StatsRow) -> list[BoardDetail]:
    """The boards for people."""
    unit = antminer.unit_ths(row.rate_unit)
    return [
        BoardDetail(
            index=(chain.index if chain.index >= 0 else place) + 1,
            serial=chain.sn,
            hashrate_ths=None if chain.rate_real is None else chain.rate_real * unit,
            nominal_ths=None if chain.rate_ideal is None else chain.rate_ideal * unit,
            chips=chain.asic_num,
            chip_temp_max_c=_or_none(largest(chain.temp_chip)),
            board_temp_c=_or_none(largest(chain.temp_pcb)),
            frequency_mhz=chain.freq_avg,
            hw_errors=None if chain.hw is None else int(chain.hw),
        )
        for place, chain in enumerate(row.chain)
    ]


def errors(page: SummaryPage) -> list[ErrorDetail]:
    """The machine's own judgements that are not fine."""
    rows = page.rows or []
    return [
        ErrorDetail(code=health.type or str(health.code), text=health.msg)
        for row in rows
        for health in row.status
        if health.status == "e"
    ]


def pools(rows: list[antminer.Pool]) -> list[PoolDetail]:
    """The pools of ``pools.cgi``; the page does not say which is in use."""
    return [
        PoolDetail(
            url=row.url, user=row.user, status=row.status, accepted=row.accepted, rejected=row.rejected, stale=row.stale
        )
        for row in rows
        if row.url
    ]


def rpc_pools(rows: list[antminer.RpcPool]) -> list[PoolDetail]:
    """The pools of the RPC command."""
    return [
        PoolDetail(
            url=row.URL,
            user=row.User,
            status=row.Status,
            active=row.active,
            accepted=row.Accepted,
            rejected=row.Rejected,
            stale=row.Stale,
        )
        for row in rows
        if row.URL
    ]


def mark_active(found: list[PoolDetail]) -> None:
    """Where the machine doesn't say which pool it uses: the first that is alive, as failover does."""
    if any(pool.active for pool in found):
        return
    for pool in found:
        pool.active = False
    for pool in found:
        if pool.status.lower() == "alive":
            pool.active = True
            return


def put_detail(detail: MachineDetail, info: antminer.SystemInfo) -> None:
    """Fill in what never changes."""
    detail.mac, detail.serial, detail.hostname = info.macaddr.upper(), info.serinum, info.hostname
    detail.model, detail.firmware = info.minertype, info.system_filesystem_version


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
