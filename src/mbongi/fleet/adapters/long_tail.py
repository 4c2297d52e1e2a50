"""Any other machine, through ``pyasic_rs`` where it is installed. It asks at the makers' own ports only."""

import importlib
import math
from collections.abc import Sequence
from typing import Any

from mbongi.fleet.adapters.session import Session, SlowFigures
from mbongi.fleet.adapters.settings import Settings
from mbongi.fleet.device_errors import DeviceError, GarbledError, MissingPageError
from mbongi.fleet.ports import Outcome, PoolSetting, Support
from mbongi.fleet.reading import (
    BoardDetail,
    ErrorDetail,
    Found,
    MachineDetail,
    MachineReading,
    PoolDetail,
    Verdict,
)
from mbongi.fleet.rules.figures import finite, largest, mean, verdict
from mbongi.fleet.values import Family

WARM_UP_S = 900.0
"""Chosen: between the slowest and the quickest family that we know."""


def is_installed() -> bool:
    """Whether the library is there; without it no other machine is recognised."""
    try:
        importlib.import_module("pyasic_rs")
    except ImportError:
        return False
    return True


class LongTail(Settings):
    """The adapter of the families that have none of their own."""

    family = Family.OTHER
    scorecard = (
        Support("identify", "done", "every machine that pyasic_rs knows, at ports 80 and 4028"),
        Support("hashrate, boards, chips, fans, temperatures, power, pools", "done", "as far as pyasic_rs reads them"),
        Support("refused apart from silent", "exempt", "pyasic_rs does not tell them apart"),
        Support("sleep, wake, reboot, set pools", "exempt", "not proven on such machines: use the machine's own page"),
        Support("flash a firmware image", "exempt", "the library can, and what it does is not verified here"),
        Support(
            "set power, fans, network name, password",
            "exempt",
            "not proven on such machines: use the machine's own page",
        ),
    )

    async def identify(self, session: Session) -> Found | None:
        """What pyasic_rs makes of the address; None where it knows nothing."""
        miner = await self._miner(session)
        if miner is None:
            return None
        return Found(address=session.address, family=self.family, model=f"{miner.make} {miner.model}".strip())

    async def _miner(self, session: Session) -> Any:
        if not is_installed():
            return None
        library = importlib.import_module("pyasic_rs")
        try:
            return await library.MinerFactory().get_miner(session.address)
        except Exception as error:  # the library raises its own kinds, undocumented
            raise GarbledError(f"{session.address}: pyasic_rs: {error}") from error

    async def poll_fast(self, session: Session, reading: MachineReading) -> Verdict:
        """Everything at once: the library has no lesser question."""
        return await self._poll(session, reading, None)

    async def poll_slow(self, session: Session, reading: MachineReading, detail: MachineDetail) -> Verdict:
        """The same question."""
        return await self._poll(session, reading, detail)

    async def poll_static(self, session: Session, reading: MachineReading, detail: MachineDetail) -> Verdict:
        """The same question."""
        return await self._poll(session, reading, detail)

    async def _poll(self, session: Session, reading: MachineReading, detail: MachineDetail | None) -> Verdict:
        miner = session.foreign
        if miner is None:
            miner = session.foreign = await self._miner(session)
        if miner is None:
            raise MissingPageError(f"{session.address}: pyasic_rs is not installed or does not know this machine")
        try:
            data = await miner.get_data()
        except Exception as error:
            raise GarbledError(f"{session.address}: pyasic_rs: {error}") from error
        # The library answers for a machine that is off, too: with nothing but what it knew before.
        if data.hashrate is None and data.uptime is None and not data.pools and not data.mac:
            session.foreign = None
            raise DeviceError(f"{session.address}: pyasic_rs read nothing")
        read_data(data, reading)
        pools = pools_of(data)
        detail = MachineDetail() if detail is None else detail
        put_detail(data, pools, detail)
        session.slow = SlowFigures.of(detail)
        return verdict(
            hashrate_ths=reading.hashrate_ths,
            nominal_ths=reading.hashrate_nominal_ths,
            uptime_s=reading.uptime_s,
            warm_up_s=WARM_UP_S,
            resting=not data.is_mining,
        )

    # Writing: not proven, so not done.

    async def sleep(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Not supported."""
        raise self._unsupported(session, "sleep", dry_run=dry_run)

    async def wake(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Not supported."""
        raise self._unsupported(session, "wake", dry_run=dry_run)

    async def reboot(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Not supported."""
        raise self._unsupported(session, "reboot", dry_run=dry_run)

    async def read_pools(self, session: Session) -> list[dict[str, str]]:
        """Not supported."""
        raise self._unsupported(session, "read pools", dry_run=True)

    async def write_pools(self, session: Session, pools: Sequence[PoolSetting], *, dry_run: bool = False) -> Outcome:
        """Not supported."""
        raise self._unsupported(session, f"set {len(pools)} pools", dry_run=dry_run)

    @staticmethod
    def _unsupported(session: Session, what: str, *, dry_run: bool) -> MissingPageError:
        what = f"{what} (dry run)" if dry_run else what
        return MissingPageError(f"{session.address}: {what}: not done on machines without an adapter of their own")


def read_data(data: Any, reading: MachineReading) -> None:
    """Fill a reading from the library's record."""
    reading.hashrate_ths = _ths(data.hashrate)
    reading.hashrate_nominal_ths = _ths(data.expected_hashrate)
    reading.power_w = finite(data.wattage)
    reading.uptime_s = math.nan if data.uptime is None else data.uptime.total_seconds()
    reading.chips, reading.chips_expected = finite(data.total_chips), finite(data.expected_chips)
    reading.board_expected = finite(data.expected_hashboards)
    rates = [_ths(board.hashrate) for board in data.hashboards]
    reading.board_count = float(sum(1 for rate in rates if rate > 0))
    hottest = [_hottest(board) for board in data.hashboards]
    reading.chip_temp_max_c, reading.chip_temp_avg_c = largest(hottest), mean(hottest)
    reading.board_temp_max_c = largest([finite(board.board_temperature) for board in data.hashboards])
    reading.frequency_mhz = mean([finite(board.frequency) for board in data.hashboards])
    for number, rate, temp in zip((1, 2, 3), rates, hottest, strict=False):
        setattr(reading, f"board{number}_ths", rate)
        setattr(reading, f"board{number}_temp_c", temp)
    for number, fan in zip((1, 2, 3, 4), data.fans, strict=False):
        setattr(reading, f"fan{number}_rpm", finite(fan.rpm))


def _ths(rate: Any) -> float:
    if rate is None:
        return math.nan
    unit = importlib.import_module("pyasic_rs.data").HashRateUnit.TeraHash
    return float(rate.as_unit(unit))


def _hottest(board: Any) -> float:
    return largest([finite(board.outlet_chip_temperature), finite(board.inlet_chip_temperature)])


def pools_of(data: Any) -> list[PoolDetail]:
    """The library's pools, without passwords, which it does not carry.

    Shares are taken from pools in use: where a machine counts for all together, the library repeats that on each.
    """
    return [
        PoolDetail(
            url=str(pool.url or ""),
            user=pool.user or "",
            status="Alive" if pool.alive else "",
            active=pool.active,
            accepted=None if pool.active is False else pool.accepted_shares,
            rejected=None if pool.active is False else pool.rejected_shares,
        )
        for group in data.pools
        for pool in group.pools
        if pool.url
    ]


def put_detail(data: Any, pools: list[PoolDetail], detail: MachineDetail) -> None:
    """Fill in the facts for people."""
    detail.mac, detail.serial = (data.mac or "").upper(), data.serial_number or ""
    detail.hostname, detail.firmware = data.hostname or "", data.firmware_version or ""
    detail.model = f"{data.device_info.make} {data.device_info.model}".strip()
    detail.light_on, detail.pools = data.light_flashing, pools
    detail.errors = [ErrorDetail(code=str(message.code), text=message.message) for message in data.messages]
    detail.fans_rpm = [fan.rpm for fan in data.fans if fan.rpm is not None]
    detail.boards = [
        BoardDetail(
            index=board.position + 1,
            serial=board.serial_number or "",
            hashrate_ths=None if board.hashrate is None else _ths(board.hashrate),
            chips=board.working_chips,
            chips_expected=board.expected_chips,
            board_temp_c=board.board_temperature,
            frequency_mhz=board.frequency,
        )
        for board in data.hashboards
    ]
