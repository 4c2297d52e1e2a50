"""Stock Antminers: the digest-signed web, and TCP 4028 where the web is closed to us. Writes: ``antminer_write``."""

from collections.abc import Sequence

from mbongi.fleet.adapters import antminer_decode as decode
from mbongi.fleet.adapters import antminer_write as write
from mbongi.fleet.adapters.session import WEB_CLOSED, Session, SlowFigures
from mbongi.fleet.adapters.settings import Settings
from mbongi.fleet.device_errors import DeniedError, GarbledError, MissingPageError, RefusedError
from mbongi.fleet.ports import Outcome, PoolSetting, Support
from mbongi.fleet.reading import Found, MachineDetail, MachineReading, PoolDetail, Stated, Verdict
from mbongi.fleet.rules.figures import SLEEPING, verdict
from mbongi.fleet.values import Abilities, DesiredFan, DesiredPower, Family, MachineState
from mbongi.wire import antminer, cgminer
from mbongi.wire.antminer import PAGE, WORK_MODES, StatsRow
from mbongi.wire.digest import DigestError

STATS, SUMMARY, POOLS = PAGE.format("stats"), PAGE.format("summary"), PAGE.format("pools")
SYSTEM_INFO, MINER_TYPE = PAGE.format("get_system_info"), PAGE.format("miner_type")
BLINK = PAGE.format("get_blink_status")
WARM_UP_S = 600.0
"""Chosen: a stock Antminer hashes some minutes after its program starts."""
_STATS_QUESTION, _POOLS_QUESTION = cgminer.command("stats"), cgminer.command("pools")
_VERSION_QUESTION = cgminer.command("version")
_OTHER_FIRMWARE = (b"BOSMINER", b"BOSER", b"LUXMINER", b"HIVEON", b"KAONSU", b"VNISH", b"BTMINER", b"BITMICRO")
NO_POOLS_PAGE = "no pools page"


class Antminer(Settings):
    """The family's adapter; it keeps nothing itself."""

    family = Family.ANTMINER
    scorecard = (
        Support("identify", "done"),
        Support("hashrate, boards, chips, fans, temperatures", "done"),
        Support("pools, shares, health flags, work mode, locating light", "done"),
        Support("power", "exempt", "stock firmware states none; estimated from the model table and marked so"),
        Support("inlet temperature, voltage, fan duty", "exempt", "stock firmware states none"),
        Support("read without the web (TCP 4028 alone)", "done"),
        Support("sleep, wake, reboot, set pools", "done"),
        Support("set power mode, set fans", "done"),
        Support("change password", "done"),
        Support("power limit", "exempt", "stock firmware has steps, no limit in watts"),
        Support("set network name", "exempt", "its page takes the whole network; a slip would cut the machine off"),
        Support("flash a firmware image", "done"),
    )
    abilities = Abilities(
        pools_max=write.POOLS_MAX, modes=frozenset(write.MODES), fan=True, upgrade=True, password_length=20
    )
    send_image = staticmethod(write.send_image)
    accepts_password = staticmethod(write.accepts_password)
    send_password = staticmethod(write.send_password)

    async def identify(self, session: Session) -> Found | None:
        """By the realm of the web's sign-in, else by the word that the RPC port gives; None where it is neither."""
        detail = MachineDetail()
        if await self._web_says_antminer(session):
            try:
                await self._read_static(session, detail)
            except WEB_CLOSED:
                await self._rpc_model(session, detail)
        elif not await self._rpc_model(session, detail):
            return None
        return Found(
            address=session.address,
            family=self.family,
            model=detail.model,
            mac=detail.mac,
            serial=detail.serial,
            firmware=detail.firmware,
            hostname=detail.hostname,
        )

    async def _web_says_antminer(self, session: Session) -> bool:
        try:
            response = await session.send("GET", "/")
        except RefusedError:
            return False
        header = response.header("www-authenticate")
        if antminer.REALM_MARK not in header:
            return False
        try:
            session.signer.challenged(header)
        except DigestError:
            return False
        return True

    async def _rpc_model(self, session: Session, detail: MachineDetail) -> bool:
        try:
            data = await session.ask_bytes(_VERSION_QUESTION)
        except RefusedError:
            return False
        words = data.upper()
        if b"ANTMINER" not in words or any(word in words for word in _OTHER_FIRMWARE):
            return False
        version = await session.ask(_VERSION_QUESTION, antminer.decode_rpc_version)
        if version.rows:
            detail.model, detail.firmware = version.rows[0].Type, version.rows[0].CompileTime
        return True

    async def read_identity(self, session: Session) -> Found | None:
        """The system page alone."""
        info = await session.page(SYSTEM_INFO, antminer.decode_system_info)
        detail = MachineDetail()
        decode.put_detail(detail, info)
        return Found(address=session.address, family=self.family, mac=detail.mac, serial=detail.serial)

    # Reading.

    async def poll_fast(self, session: Session, reading: MachineReading) -> Verdict:
        """One page; where the web is closed to us, one RPC command."""
        row = await self._stats(session)
        return await self._judge(session, row, reading)

    async def poll_slow(self, session: Session, reading: MachineReading, detail: MachineDetail) -> Verdict:
        """The fast page, pools, health, work mode, light."""
        row = await self._stats(session)
        detail.boards = decode.boards(row) if row else []
        detail.fans_rpm = list(row.fan) if row else []
        detail.pools = await self._pools(session)
        decode.mark_active(detail.pools)
        if session.web_usable:
            await self._read_web_slow(session, row, detail)
        session.slow = SlowFigures.of(detail)
        return await self._judge(session, row, reading, work_mode=detail.work_mode)

    async def poll_static(self, session: Session, reading: MachineReading, detail: MachineDetail) -> Verdict:
        """The slow pages, and what never changes."""
        found = await self.poll_slow(session, reading, detail)
        try:
            if session.web_usable:
                await self._read_static(session, detail)
                document = await write.read_document(session)
                detail.fan_auto, detail.fan_percent = document.fan_auto, document.fan_percent
            else:
                await self._rpc_model(session, detail)
        except WEB_CLOSED:
            session.leave_web()
        reading.model = detail.model or reading.model
        return found

    async def _stats(self, session: Session) -> StatsRow | None:
        """The row of the stats page; None where there is none because the miner program rests."""
        if session.web_usable:
            try:
                page = await session.page(STATS, antminer.decode_stats)
            except WEB_CLOSED as error:
                return await self._rpc_stats(session, error)
            if page.rows is None:
                raise GarbledError(f"{session.address}: stats.cgi: no STATS; expected a list")
            return page.rows[0] if page.rows else None
        return await self._rpc_stats(session, None)

    async def _rpc_stats(self, session: Session, web: Exception | None) -> StatsRow | None:
        found = await session.ask(_STATS_QUESTION, antminer.decode_rpc_stats)
        if web is not None:
            # Only now is it known that the machine lives and its web alone is closed.
            session.leave_web()
        if found.rows is None:
            raise GarbledError(f"{session.address}: rpc stats: no STATS; expected a list")
        rows = [row for row in found.rows if "Elapsed" in row or "GHS 5s" in row]
        return decode.stats_of_rpc(rows[-1]) if rows else None

    async def _judge(
        self, session: Session, row: StatsRow | None, reading: MachineReading, *, work_mode: str | None = None
    ) -> Verdict:
        if row is None:
            return await self._judge_rest(session, work_mode)
        decode.read_stats(row, reading)
        return verdict(
            hashrate_ths=reading.hashrate_ths,
            nominal_ths=reading.hashrate_nominal_ths,
            uptime_s=reading.uptime_s,
            warm_up_s=WARM_UP_S,
            resting=row.miner_mode == 1,
        )

    async def _judge_rest(self, session: Session, work_mode: str | None) -> Verdict:
        """No row at all: asleep as told, or not yet begun; only the configuration tells these apart."""
        if work_mode is None and session.web_usable:
            try:
                work_mode = (await write.read_document(session)).work_mode
            except WEB_CLOSED:
                session.leave_web()
        if work_mode and work_mode != "sleep":
            return Verdict(MachineState.STARTING, "miner program not yet running")
        return SLEEPING

    async def _pools(self, session: Session) -> list[PoolDetail]:
        if session.web_usable and NO_POOLS_PAGE not in session.marks:
            try:
                page = await session.page(POOLS, antminer.decode_pools)
                return decode.pools(page.rows or [])
            except MissingPageError:
                session.marks.add(NO_POOLS_PAGE)
            except (RefusedError, DeniedError):
                session.leave_web()
        try:
            found = await session.ask(_POOLS_QUESTION, antminer.decode_rpc_pools)
        except RefusedError:
            return []
        return decode.rpc_pools(found.rows or [])

    async def _read_web_slow(self, session: Session, row: StatsRow | None, detail: MachineDetail) -> None:
        try:
            detail.errors = decode.errors(await session.page(SUMMARY, antminer.decode_summary))
            if row is not None and row.miner_mode is not None:
                detail.work_mode = WORK_MODES.get(str(row.miner_mode), str(row.miner_mode))
            else:
                # The configuration says it too, but holds pool passwords: it is read only where it must be.
                detail.work_mode = (await write.read_document(session)).work_mode
            detail.light_on = (await session.page(BLINK, antminer.decode_blink)).blink
        except MissingPageError:
            return
        except (RefusedError, DeniedError):
            session.leave_web()

    async def _read_static(self, session: Session, detail: MachineDetail) -> None:
        known_mac = detail.mac
        decode.put_detail(detail, await session.page(SYSTEM_INFO, antminer.decode_system_info))
        if detail.control_board and detail.mac == known_mac:
            return  # the same board as before
        try:
            kind = await session.page(MINER_TYPE, antminer.decode_miner_type)
        except MissingPageError:
            return
        detail.control_board = kind.subtype

    # Writing.

    async def sleep(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Put the miner program to rest."""
        return await write.set_work_mode(session, antminer.SLEEP_MODE, dry_run=dry_run)

    async def wake(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Let it mine."""
        return await write.set_work_mode(session, antminer.NORMAL_MODE, dry_run=dry_run)

    async def reboot(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Restart the control board."""
        return await write.reboot(session, dry_run=dry_run)

    async def read_pools(self, session: Session) -> list[dict[str, str]]:
        """The configured pools, without passwords."""
        return (await write.read_document(session)).pool_words()

    async def write_pools(self, session: Session, pools: Sequence[PoolSetting], *, dry_run: bool = False) -> Outcome:
        """Replace the configured pools."""
        return await write.set_pools(session, pools, dry_run=dry_run)

    async def read_desired(self, session: Session) -> Stated:
        """From the configuration and the system page."""
        document = await write.read_document(session)
        info = await session.page(SYSTEM_INFO, antminer.decode_system_info)
        return Stated(
            pools=tuple((pool["url"], pool["user"]) for pool in document.pool_words()),
            mode=document.work_mode or None,
            fan_auto=document.fan_auto,
            fan_percent=document.fan_percent,
            firmware=info.system_filesystem_version or None,
            hostname=info.hostname or None,
        )

    async def write_power(self, session: Session, power: DesiredPower, *, dry_run: bool = False) -> Outcome:
        """Set the work mode."""
        return await write.set_power(session, power, dry_run=dry_run)

    async def write_fan(self, session: Session, fan: DesiredFan, *, dry_run: bool = False) -> Outcome:
        """Fix the fans, or give them back to the machine."""
        return await write.set_fan(session, fan, dry_run=dry_run)
