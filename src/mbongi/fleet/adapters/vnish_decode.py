"""VNish replies into readings and details. Pure."""

import math

from mbongi.fleet.reading import BoardDetail, ErrorDetail, MachineDetail, MachineReading, PoolDetail, Verdict
from mbongi.fleet.rules.figures import count, finite, largest, mean, verdict
from mbongi.fleet.values import MachineState
from mbongi.wire import vnish
from mbongi.wire.vnish import Chain, ChainChips, Factory, Info, MinerStats, MinerStatus, PoolStats

GHS_PER_THS = 1e3
HASHING_POOL = "working"
_NOT_THERE = {"disconnected", "disabled"}


def read_stats(stats: MinerStats, reading: MachineReading) -> None:
    """Fill a reading from ``summary``."""
    reading.hashrate_ths = finite(stats.hr_realtime) / GHS_PER_THS
    reading.hashrate_av_ths = finite(stats.hr_average) / GHS_PER_THS
    if stats.hr_nominal:
        reading.hashrate_nominal_ths = stats.hr_nominal / GHS_PER_THS
    reading.power_w, reading.hw_errors = finite(stats.power_consumption), finite(stats.hw_errors)
    reading.chip_temp_max_c = largest([stats.chip_temp.max or 0.0])
    reading.board_temp_max_c = largest([stats.pcb_temp.max or 0.0])
    reading.fan_duty_pct = finite(stats.cooling.fan_duty)
    fans = sorted(stats.cooling.fans, key=lambda fan: fan.id)
    for name, fan in zip(("fan1_rpm", "fan2_rpm", "fan3_rpm", "fan4_rpm"), fans, strict=False):
        setattr(reading, name, finite(fan.rpm))
    own = own_pools(stats)
    reading.accepted = _total([pool.accepted for pool in own])
    reading.rejected = _total([pool.rejected for pool in own])
    reading.stale = _total([pool.stale for pool in own])
    if stats.miner_status.miner_state == "mining":
        reading.uptime_s = finite(stats.miner_status.miner_state_time)
    _read_chains(stats.chains, reading)


def _total(counts: list[int | None]) -> float:
    stated = [count for count in counts if count is not None]
    return float(sum(stated)) if stated else math.nan


def _read_chains(chains: list[Chain], reading: MachineReading) -> None:
    rates = {chain.id: finite(chain.hashrate_rt) / GHS_PER_THS for chain in chains}
    reading.board_count = float(sum(1 for rate in rates.values() if rate > 0))
    reading.frequency_mhz = mean([chain.frequency or 0.0 for chain in chains])
    reading.voltage_v = mean([chain.voltage or 0.0 for chain in chains]) / 1000.0
    hottest = {chain.id: largest([chain.chip_temp.max or 0.0]) for chain in chains}
    for number, rate, temp in (
        (1, "board1_ths", "board1_temp_c"),
        (2, "board2_ths", "board2_temp_c"),
        (3, "board3_ths", "board3_temp_c"),
    ):
        setattr(reading, rate, rates.get(number, math.nan))
        setattr(reading, temp, hottest.get(number, math.nan))


def judge(status: MinerStatus, reading: MachineReading, *, warm_up_s: float) -> Verdict:
    """The state: the firmware names it, and the hashrate has the last word."""
    found = verdict(
        hashrate_ths=0.0 if math.isnan(reading.hashrate_ths) else reading.hashrate_ths,
        nominal_ths=reading.hashrate_nominal_ths,
        uptime_s=status.miner_state_time or 0.0,
        warm_up_s=warm_up_s,
        resting=status.miner_state in vnish.RESTING,
    )
    if found.state is MachineState.MINING or status.miner_state in vnish.RESTING:
        return found
    if status.miner_state in vnish.RISING:
        return Verdict(MachineState.STARTING, status.miner_state)
    if status.miner_state == vnish.FAILURE:
        return Verdict(MachineState.FAULT, status.description or "the machine states a failure")
    return found


def own_pools(stats: MinerStats) -> list[PoolStats]:
    """The owner's pools, in their order; those of the firmware's fee are left out."""
    return sorted((pool for pool in stats.pools if pool.pool_type == vnish.OWN_POOL), key=lambda pool: pool.id)


def pools(stats: MinerStats) -> list[PoolDetail]:
    """The owner's pools for people."""
    return [
        PoolDetail(
            url=vnish.with_scheme(pool.url),
            user=pool.user,
            status=pool.status,
            active=pool.status == HASHING_POOL,
            accepted=pool.accepted,
            rejected=pool.rejected,
            stale=pool.stale,
        )
        for pool in own_pools(stats)
        if pool.url
    ]


def errors(status: MinerStatus, chains: list[Chain]) -> list[ErrorDetail]:
    """What the machine calls a failure, of itself and of its boards."""
    found = [
        ErrorDetail(code=f"board {chain.id} {chain.status.state}", text=chain.status.description or "")
        for chain in chains
        if chain.status.state in _NOT_THERE | {vnish.FAILURE}
    ]
    if status.miner_state == vnish.FAILURE:
        found.insert(0, ErrorDetail(code=str(status.failure_code or vnish.FAILURE), text=status.description or ""))
    return found


def boards(chains: list[Chain], chips: list[ChainChips], factory: Factory) -> list[BoardDetail]:
    """The boards for people; chips that hash count as there."""
    counts = {one.id: sum(1 for chip in one.chips if (chip.hr or 0.0) > 0) for one in chips}
    serials = {one.id: one.serial for one in factory.chains or []}
    return [
        BoardDetail(
            index=chain.id,
            serial=serials.get(chain.id, ""),
            hashrate_ths=None if chain.hashrate_rt is None else chain.hashrate_rt / GHS_PER_THS,
            nominal_ths=None if chain.hashrate_ideal is None else chain.hashrate_ideal / GHS_PER_THS,
            chips=counts.get(chain.id),
            chip_temp_max_c=chain.chip_temp.max,
            board_temp_c=chain.pcb_temp.max,
            frequency_mhz=chain.frequency,
            hw_errors=count(chain.hw_errors),
        )
        for chain in sorted(chains, key=lambda chain: chain.id)
    ]


def put_info(detail: MachineDetail, info: Info) -> None:
    """Fill in who the machine is."""
    detail.model, detail.serial, detail.control_board = info.miner, info.serial, info.platform
    detail.mac, detail.hostname = info.system.network_status.mac.upper(), info.system.network_status.hostname
    detail.firmware = f"VNish {info.fw_version}" if info.fw_version else info.fw_name
    detail.image = info.build_uuid if info.build_uuid.strip("0-") else ""
