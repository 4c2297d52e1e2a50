"""Whatsminers with btminer V2 on TCP 4028 (V1 answers a part of it). Writes are in ``whatsminer_write``."""

from collections.abc import Sequence

from mbongi.fleet.adapters import whatsminer_decode as decode
from mbongi.fleet.adapters import whatsminer_write as write
from mbongi.fleet.adapters.session import Session, SlowFigures
from mbongi.fleet.adapters.settings import Settings
from mbongi.fleet.device_errors import GarbledError, RefusedError
from mbongi.fleet.ports import Outcome, PoolSetting, Support
from mbongi.fleet.reading import Found, MachineDetail, MachineReading, Stated, Verdict
from mbongi.fleet.rules.figures import verdict
from mbongi.fleet.values import Abilities, DesiredPower, Family
from mbongi.wire import btminer, cgminer

WARM_UP_S = 1800.0
"""A captured machine took 1,538 s until it called its hashrate stable."""
NOT_JOINED = "no joined commands"
_FAST = cgminer.command("summary+devs+pools")
_SLOW = cgminer.command("summary+devs+pools+devdetails")
_SUMMARY, _DEVS, _POOLS = (cgminer.command(name) for name in ("summary", "devs", "pools"))
_STATE = cgminer.command("status")
_VERSION, _INFO, _PSU = (cgminer.command(name) for name in ("get_version", "get_miner_info", "get_psu"))
_ERRORS, _DEVDETAILS = cgminer.command("get_error_code"), cgminer.command("devdetails")


class Whatsminer(Settings):
    """The family's adapter; it keeps nothing itself."""

    family = Family.WHATSMINER
    scorecard = (
        Support("identify", "done"),
        Support("hashrate, boards, chips, fans, temperatures", "done"),
        Support("pools, shares, error codes, power mode", "done"),
        Support("power, power limit", "done"),
        Support("inlet temperature", "done"),
        Support("sleep, wake, reboot, set pools", "done"),
        Support("set power mode, power limit, network name", "done", "modes are answered with silence, and read again"),
        Support("set fans", "exempt", "btminer V2 takes no fan speed"),
        Support("change password", "done", "of eight characters, as many as it takes"),
        Support("API switch", "exempt", "the maker's tool sets it; writes are refused until then"),
        Support("API 3 (TCP 4433)", "exempt", "another protocol, and so a family of its own"),
        Support("flash a firmware image", "done"),
    )
    abilities = Abilities(
        pools_max=write.POOLS_MAX, modes=write.MODES, power_limit=True, hostname=True, upgrade=True, password_length=8
    )
    send_image = staticmethod(write.send_image)
    accepts_password = staticmethod(write.accepts_password)
    send_password = staticmethod(write.send_password)

    async def identify(self, session: Session) -> Found | None:
        """By the words that ``devdetails`` or ``version`` answer; None where neither has them."""
        try:
            data = await session.ask_bytes(_DEVDETAILS)
        except RefusedError:
            return None
        words = data.upper()
        if b"BTMINER" not in words and b"BITMICRO" not in words:
            version = (await session.ask_bytes(cgminer.command("version"))).upper()
            if b"BTMINER" not in version and b"BITMICRO" not in version and b"WHATSMINER" not in version:
                return None
        detail = MachineDetail()
        await self._read_static(session, detail)
        decode.put_model(detail, await session.ask(_DEVDETAILS, btminer.decode_devdetails))
        return Found(
            address=session.address,
            family=self.family,
            model=detail.model,
            mac=detail.mac,
            serial=detail.serial,
            firmware=detail.firmware,
            hostname=detail.hostname,
        )

    async def read_identity(self, session: Session) -> Found | None:
        """One question."""
        info = (await session.ask(_INFO, btminer.decode_miner_info)).Msg
        if info is None:
            return await self.identify(session)
        return Found(address=session.address, family=self.family, mac=info.mac, serial=info.minersn)

    # Reading.

    async def poll_fast(self, session: Session, reading: MachineReading) -> Verdict:
        """One joined command, pools included, and the power switch only where nothing hashes."""
        joined = await self._tables(session, _FAST, (_SUMMARY, _DEVS))
        session.pools = decode.pools(joined) or None
        resting = await self._rests(session) if not _hashes(joined) else False
        return _judge(joined, reading, resting=resting)

    async def poll_slow(self, session: Session, reading: MachineReading, detail: MachineDetail) -> Verdict:
        """Summary, boards, pools, power supply; state and error codes where the summary leaves them open."""
        joined = await self._tables(session, _SLOW, (_SUMMARY, _DEVS, _POOLS))
        row, state, errors = decode.row_of(joined), btminer.State(), None
        if not _hashes(joined) or not row.power_mode:
            state = (await session.ask(_STATE, btminer.decode_state)).Msg or state
        if row.error_count != 0:
            errors = (await session.ask(_ERRORS, btminer.decode_errors)).Msg
        psu = (await session.ask(_PSU, btminer.decode_psu)).Msg
        detail.errors = decode.errors(errors, row)
        decode.put_slow(detail, joined, state)
        if joined.devdetails:
            decode.put_model(detail, joined.devdetails[0])
        found = _judge(joined, reading, resting=decode.rests(state))
        if psu is not None:
            detail.psu_model = psu.model
        session.slow = SlowFigures.of(detail, psu_temp_c=None if psu is None else psu.temp0)
        return found

    async def poll_static(self, session: Session, reading: MachineReading, detail: MachineDetail) -> Verdict:
        """The slow answers, and what never changes."""
        found = await self.poll_slow(session, reading, detail)
        await self._read_static(session, detail)
        reading.model = detail.model or reading.model
        return found

    async def _tables(self, session: Session, joined: bytes, single: tuple[bytes, ...]) -> btminer.Joined:
        if NOT_JOINED not in session.marks:
            found = await session.ask(joined, btminer.decode_joined)
            if found.summary and found.summary[0].rows:
                return found
            if found.Code != btminer.INVALID:
                raise GarbledError(f"{session.address}: {single[0]!r}: no SUMMARY (Code {found.Code})")
            session.marks.add(NOT_JOINED)
        found = btminer.Joined(summary=[await session.ask(_SUMMARY, btminer.decode_summary)])
        if not found.summary[0].rows:
            raise GarbledError(f"{session.address}: summary: no SUMMARY; expected one row")
        found.devs = [await session.ask(_DEVS, btminer.decode_devs)]
        if _POOLS in single:
            found.pools = [await session.ask(_POOLS, btminer.decode_pools)]
            found.devdetails = [await session.ask(_DEVDETAILS, btminer.decode_devdetails)]
        return found

    async def _rests(self, session: Session) -> bool:
        state = await session.ask(_STATE, btminer.decode_state)
        return state.Msg is not None and decode.rests(state.Msg)

    async def _read_static(self, session: Session, detail: MachineDetail) -> None:
        version = await session.ask(_VERSION, btminer.decode_version)
        info = await session.ask(_INFO, btminer.decode_miner_info)
        decode.put_static(detail, version.Msg, info.Msg)

    # Writing.

    async def sleep(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Switch the boards' power off."""
        return await write.switch(session, off=True, dry_run=dry_run)

    async def wake(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Switch the boards' power on."""
        return await write.switch(session, off=False, dry_run=dry_run)

    async def reboot(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Restart the control board."""
        return await write.reboot(session, dry_run=dry_run)

    async def read_pools(self, session: Session) -> list[dict[str, str]]:
        """The configured pools; btminer never states their passwords."""
        return await write.pool_list(session)

    async def write_pools(self, session: Session, pools: Sequence[PoolSetting], *, dry_run: bool = False) -> Outcome:
        """Replace the configured pools."""
        return await write.set_pools(session, pools, dry_run=dry_run)

    async def read_desired(self, session: Session) -> Stated:
        """From the state, the summary, the pools and the machine's own description."""
        return await write.read_desired(session)

    async def write_power(self, session: Session, power: DesiredPower, *, dry_run: bool = False) -> Outcome:
        """Set the power mode or the power limit."""
        return await write.set_power(session, power, dry_run=dry_run)

    async def write_hostname(self, session: Session, hostname: str, *, dry_run: bool = False) -> Outcome:
        """Set the network name."""
        return await write.set_hostname(session, hostname, dry_run=dry_run)


def _hashes(joined: btminer.Joined) -> bool:
    row = decode.row_of(joined)
    return bool(row.hs_rt if row.hs_rt is not None else row.mhs_5s)


def _judge(joined: btminer.Joined, reading: MachineReading, *, resting: bool) -> Verdict:
    decode.read_joined(joined, reading)
    return verdict(
        hashrate_ths=reading.hashrate_ths,
        nominal_ths=reading.hashrate_nominal_ths,
        uptime_s=reading.uptime_s,
        warm_up_s=WARM_UP_S,
        resting=resting,
    )
