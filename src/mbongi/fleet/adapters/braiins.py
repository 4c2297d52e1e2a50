"""Antminers with Braiins OS: its public REST interface behind a token. Writes are in ``braiins_write``."""

from collections.abc import Sequence
from datetime import UTC, datetime

from mbongi.fleet.adapters import braiins_decode as decode
from mbongi.fleet.adapters import braiins_write as write
from mbongi.fleet.adapters.session import Session, SlowFigures
from mbongi.fleet.adapters.settings import Settings
from mbongi.fleet.device_errors import DeniedError, DeviceError, RefusedError
from mbongi.fleet.ports import Outcome, PoolSetting, Support
from mbongi.fleet.reading import Found, MachineDetail, MachineReading, Verdict
from mbongi.fleet.rules.figures import finite
from mbongi.fleet.values import Abilities, DesiredFan, DesiredPower, Family
from mbongi.wire import braiins, cgminer


class Braiins(Settings):
    """The family's adapter; it keeps nothing itself."""

    family = Family.BRAIINS
    scorecard = (
        Support("identify", "done", "without the password the model alone, over GraphQL"),
        Support("hashrate, boards, chips, fans, temperatures, power", "done"),
        Support("pools, shares, errors with a code, power target, locating light", "done"),
        Support("hardware errors, inlet temperature", "exempt", "Braiins OS states none"),
        Support("sleep, wake, reboot, set pools", "done", "pause and resume; all groups of pools become one"),
        Support("set power target, fans, network name, password", "done"),
        Support("power mode", "exempt", "Braiins OS aims at a power or a hashrate"),
        Support("gRPC", "exempt", "the REST interface offers the same over the connection that we keep"),
        Support("flash a firmware image", "done"),
        Support("the machine's own way back", "exempt", "restore-stock leads to another family, not back"),
    )
    abilities = Abilities(
        pools_max=write.POOLS_MAX, power_limit=True, fan=True, hostname=True, upgrade=True, password_length=20
    )
    send_image = staticmethod(write.send_image)
    accepts_password = staticmethod(write.accepts_password)
    send_password = staticmethod(write.send_password)

    async def identify(self, session: Session) -> Found | None:
        """By the home page or the words that the RPC port gives; None where neither has them."""
        if not await self._is_braiins(session):
            return None
        detail = MachineDetail()
        try:
            decode.put_details(detail, await write.details(session))
        except DeniedError:
            body = (await session.exchange("POST", braiins.GRAPHQL, braiins.MODEL_QUERY)).body
            detail.model = session.read(braiins.decode_model, body).name
        return Found(
            address=session.address,
            family=self.family,
            model=detail.model,
            mac=detail.mac,
            serial=detail.serial,
            firmware=detail.firmware,
            hostname=detail.hostname,
        )

    async def _is_braiins(self, session: Session) -> bool:
        try:
            if braiins.HOME_MARK in (await session.send("GET", "/")).body:
                return True
        except DeviceError:
            return False  # without its web it cannot be asked anything more
        try:
            words = (await session.ask_bytes(cgminer.command("version"))).upper()
        except RefusedError:
            return False
        return any(mark in words for mark in braiins.RPC_MARKS)

    async def read_identity(self, session: Session) -> Found | None:
        """The page of details alone."""
        detail = MachineDetail()
        decode.put_details(detail, await write.details(session))
        return Found(address=session.address, family=self.family, mac=detail.mac, serial=detail.serial)

    # Reading.

    async def poll_fast(self, session: Session, reading: MachineReading) -> Verdict:
        """Figures, boards, fans; and the state where nothing hashes."""
        await self._figures(session, reading)
        details = None if reading.hashrate_ths > 0 else await write.details(session)
        return decode.judge(details, reading)

    async def poll_slow(self, session: Session, reading: MachineReading, detail: MachineDetail) -> Verdict:
        """Those, and state, pools, errors, settings, light."""
        rows, cooling = await self._figures(session, reading)
        details = await write.details(session)
        reading.uptime_s = finite(details.bosminer_uptime_s)
        detail.boards, detail.fans_rpm = decode.boards(rows), [fan.rpm for fan in cooling.fans if fan.rpm is not None]
        detail.pools = decode.pools(await write.groups(session))
        log = await write.read(session, braiins.ERRORS, braiins.decode_errors)
        detail.errors = decode.errors(log.errors, now=datetime.now(UTC), uptime_s=details.bosminer_uptime_s)
        decode.put_configuration(detail, await write.configuration(session))
        detail.light_on = await write.read(session, braiins.LOCATE, braiins.decode_flag)
        detail.work_mode = "sleep" if decode.rests(details) else "normal"
        reading.power_limit_w = finite(detail.power_limit_w)
        decode.put_details(detail, details)
        session.slow = SlowFigures.of(detail)
        return decode.judge(details, reading)

    async def poll_static(self, session: Session, reading: MachineReading, detail: MachineDetail) -> Verdict:
        """The slow pages hold all of it."""
        found = await self.poll_slow(session, reading, detail)
        reading.model = detail.model or reading.model
        return found

    async def _figures(self, session: Session, reading: MachineReading) -> tuple[list[braiins.Board], braiins.Cooling]:
        stats = await write.read(session, braiins.STATS, braiins.decode_stats)
        rows = (await write.read(session, braiins.BOARDS, braiins.decode_boards)).hashboards
        cooling = await write.read(session, braiins.COOLING, braiins.decode_cooling)
        decode.read_stats(stats, rows, cooling, reading)
        return rows, cooling

    # Writing.

    async def sleep(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Pause mining."""
        return await write.switch(session, asleep=True, dry_run=dry_run)

    async def wake(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Resume, or start where it was stopped."""
        return await write.switch(session, asleep=False, dry_run=dry_run)

    async def reboot(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Restart the control board."""
        return await write.reboot(session, dry_run=dry_run)

    async def read_pools(self, session: Session) -> list[dict[str, str]]:
        """The configured pools; Braiins OS does not state their passwords with them."""
        return await write.pool_list(session)

    async def write_pools(self, session: Session, pools: Sequence[PoolSetting], *, dry_run: bool = False) -> Outcome:
        """Replace the pools of all groups by one group."""
        return await write.set_pools(session, pools, dry_run=dry_run)

    async def write_power(self, session: Session, power: DesiredPower, *, dry_run: bool = False) -> Outcome:
        """Have the tuner aim at a power."""
        return await write.set_power(session, power, dry_run=dry_run)

    async def write_fan(self, session: Session, fan: DesiredFan, *, dry_run: bool = False) -> Outcome:
        """Fix the fans, or give them back to the machine."""
        return await write.set_fan(session, fan, dry_run=dry_run)

    async def write_hostname(self, session: Session, hostname: str, *, dry_run: bool = False) -> Outcome:
        """Set the network name."""
        return await write.set_hostname(session, hostname, dry_run=dry_run)
