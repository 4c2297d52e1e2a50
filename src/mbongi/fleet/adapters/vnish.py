"""Antminers with VNish: JSON over HTTP; reads are open, writes need a token. Writes are in ``vnish_write``."""

from collections.abc import Sequence

from mbongi.fleet.adapters import vnish_decode as decode
from mbongi.fleet.adapters import vnish_write as write
from mbongi.fleet.adapters.session import Session, SlowFigures
from mbongi.fleet.adapters.settings import Settings
from mbongi.fleet.device_errors import DeniedError, MissingPageError, RefusedError, RejectedError
from mbongi.fleet.ports import Outcome, PoolSetting, Support
from mbongi.fleet.reading import Found, MachineDetail, MachineReading, Verdict
from mbongi.fleet.rules.figures import finite
from mbongi.fleet.values import Abilities, DesiredPower, Family
from mbongi.wire import vnish

SETTINGS_CLOSED = "settings closed"
WARM_UP_S = 900.0
"""Chosen: tuning takes minutes; the firmware names it, so this matters only where it does not."""


class VNish(Settings):
    """The family's adapter; it keeps nothing itself."""

    family = Family.VNISH
    scorecard = (
        Support("identify", "done"),
        Support("hashrate, boards, chips, fans, temperatures, power", "done"),
        Support("pools, shares, failures, preset, locating light", "done", "pools of the firmware's fee are left out"),
        Support("inlet temperature", "exempt", "VNish states none"),
        Support("sleep, wake, reboot, set pools", "done"),
        Support("set power limit, network name", "done", "the limit to the watts of one of the machine's presets"),
        Support("change password", "done"),
        Support("power mode", "exempt", "VNish has presets"),
        Support("fans", "exempt", "its own control wants a target temperature, which a profile does not name"),
        Support("captured replies", "exempt", "none were to be had; read after the firmware's own description"),
        Support("flash a firmware image", "done"),
        Support("the machine's own way back", "exempt", "it leads to another family, not back"),
    )
    abilities = Abilities(pools_max=write.POOLS_MAX, power_limit=True, hostname=True, upgrade=True, password_length=20)
    send_image = staticmethod(write.send_image)
    accepts_password = staticmethod(write.accepts_password)
    send_password = staticmethod(write.send_password)

    async def identify(self, session: Session) -> Found | None:
        """By the word on the home page; None where it lacks it."""
        try:
            response = await session.send("GET", "/")
        except RefusedError:
            return None
        if response.status != 200 or vnish.HOME_MARK not in response.body:
            return None
        detail = MachineDetail()
        decode.put_info(detail, await session.page(vnish.INFO, vnish.decode_info))
        return Found(
            address=session.address,
            family=self.family,
            model=detail.model,
            mac=detail.mac,
            serial=detail.serial,
            firmware=detail.firmware,
            hostname=detail.hostname,
        )

    # Reading.

    async def poll_fast(self, session: Session, reading: MachineReading) -> Verdict:
        """The summary holds everything that moves."""
        status, stats = await self._summary(session, reading)
        session.pools = decode.pools(stats) or None
        return decode.judge(status, reading, warm_up_s=WARM_UP_S)

    async def poll_slow(self, session: Session, reading: MachineReading, detail: MachineDetail) -> Verdict:
        """The summary, chips, light, and the preset."""
        status, stats = await self._summary(session, reading)
        pane = await session.page(vnish.STATUS, vnish.decode_status)
        chips = session.read(vnish.decode_chains, (await session.exchange("GET", vnish.CHAINS)).body)
        factory = await self._factory(session)
        detail.boards = decode.boards(stats.chains, chips, factory)
        detail.psu_model = factory.psu_model or ""
        reading.chips = float(sum(board.chips or 0 for board in detail.boards))
        detail.fans_rpm = [fan.rpm for fan in stats.cooling.fans if fan.rpm is not None]
        detail.pools, detail.errors = decode.pools(stats), decode.errors(status, stats.chains)
        detail.light_on = pane.find_miner
        preset = await self._preset(session)
        detail.work_mode = "sleep" if status.miner_state in vnish.RESTING else preset
        detail.power_limit_w = write.preset_w(preset)
        reading.power_limit_w = finite(detail.power_limit_w)
        session.slow = SlowFigures.of(detail)
        return decode.judge(status, reading, warm_up_s=WARM_UP_S)

    async def poll_static(self, session: Session, reading: MachineReading, detail: MachineDetail) -> Verdict:
        """The slow pages, and who the machine is."""
        found = await self.poll_slow(session, reading, detail)
        decode.put_info(detail, await session.page(vnish.INFO, vnish.decode_info))
        reading.model = detail.model or reading.model
        return found

    async def _summary(self, session: Session, reading: MachineReading) -> tuple[vnish.MinerStatus, vnish.MinerStats]:
        stats = (await session.page(vnish.SUMMARY, vnish.decode_summary)).miner
        if stats is None:
            return await session.page(vnish.STATUS, vnish.decode_status), vnish.MinerStats()
        decode.read_stats(stats, reading)
        return stats.miner_status, stats

    async def _factory(self, session: Session) -> vnish.Factory:
        try:
            return await session.page(vnish.FACTORY, vnish.decode_factory)
        except MissingPageError:
            return vnish.Factory()

    async def _preset(self, session: Session) -> str:
        if SETTINGS_CLOSED in session.marks:
            return ""
        try:
            return (await write.settings(session)).miner.overclock.preset or ""
        except (DeniedError, RejectedError):
            # A wrong password is tried once and not with every poll: the machine shuts out who guesses.
            session.marks.add(SETTINGS_CLOSED)
            return ""

    # Writing.

    async def sleep(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Stop the miner program."""
        return await write.switch(session, asleep=True, dry_run=dry_run)

    async def wake(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Start it."""
        return await write.switch(session, asleep=False, dry_run=dry_run)

    async def reboot(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Restart the control board."""
        return await write.reboot(session, dry_run=dry_run)

    async def read_pools(self, session: Session) -> list[dict[str, str]]:
        """The configured pools, without passwords."""
        return await write.pool_list(session)

    async def write_pools(self, session: Session, pools: Sequence[PoolSetting], *, dry_run: bool = False) -> Outcome:
        """Replace the configured pools, and restart the miner program where it goes on with the old ones."""
        return await write.set_pools(session, pools, dry_run=dry_run)

    async def write_power(self, session: Session, power: DesiredPower, *, dry_run: bool = False) -> Outcome:
        """Run at the preset of so many watts; the miner program restarts."""
        return await write.set_power(session, power, dry_run=dry_run)

    async def write_hostname(self, session: Session, hostname: str, *, dry_run: bool = False) -> Outcome:
        """Set the network name; its address stays as it is."""
        return await write.set_hostname(session, hostname, dry_run=dry_run)
