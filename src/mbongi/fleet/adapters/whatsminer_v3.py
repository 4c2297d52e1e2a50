"""Whatsminers with API 3 on TCP 4433. Writes are in ``whatsminer_v3_write``."""

import asyncio
import re
from collections.abc import Sequence

from mbongi.fleet.adapters import whatsminer_v3_decode as decode
from mbongi.fleet.adapters import whatsminer_v3_write as write
from mbongi.fleet.adapters.session import Session, SlowFigures
from mbongi.fleet.adapters.settings import Settings
from mbongi.fleet.adapters.whatsminer import WARM_UP_S
from mbongi.fleet.device_errors import DeviceError, GarbledError, RefusedError
from mbongi.fleet.ports import Outcome, PoolSetting, Support
from mbongi.fleet.reading import Found, MachineDetail, MachineReading, Verdict
from mbongi.fleet.rules.figures import verdict
from mbongi.fleet.values import Abilities, DesiredPower, Family
from mbongi.wire import btminer, btminer_v3

FIRST_FIRMWARE = 20241101
"""Firmware of this date and later speaks API 3 (the date that asic-rs goes by)."""
IDENTIFY_S = 2.0
"""How long the framed port may be silent during identification: perhaps only the old port is let through."""
NOT_JOINED = "no joined filters"
_DATE = re.compile(r"20\d{6}")


class WhatsminerV3(Settings):
    """The family's adapter; it keeps nothing itself."""

    family = Family.WHATSMINER_V3
    scorecard = (
        Support("identify", "done", "by the version that TCP 4028 still answers; unidentified where that is shut"),
        Support("hashrate, boards, chips, fans, temperatures", "done"),
        Support("pools, error codes, power mode", "done"),
        Support("power, power limit, inlet temperature", "done"),
        Support("accepted and rejected shares", "exempt", "API 3 states none; the pool's side counts them"),
        Support("sleep, wake, reboot, set pools", "done"),
        Support("set power mode, power limit, network name", "done"),
        Support("set fans", "exempt", "API 3 takes an offset of their target temperature, and no speed"),
        Support("change password", "done"),
        Support("API switch", "exempt", "the maker's tool sets it; writes are refused until then"),
        Support("flash a firmware image", "done"),
    )

    abilities = Abilities(
        pools_max=write.POOLS_MAX, modes=write.MODES, power_limit=True, hostname=True, upgrade=True, password_length=20
    )
    send_image = staticmethod(write.send_image)
    accepts_password = staticmethod(write.accepts_password)
    send_password = staticmethod(write.send_password)

    async def identify(self, session: Session) -> Found | None:
        """By the firmware's date on the old port, and an answer on the framed one; None where either is missing."""
        try:
            version = (await session.ask(write.VERSION, btminer.decode_version)).Msg
        except RefusedError:
            return None
        date = _DATE.match(version.fw_ver.strip(" '")) if version is not None else None
        if date is None or int(date[0]) < FIRST_FIRMWARE:
            return None
        detail = MachineDetail()
        try:
            async with asyncio.timeout(IDENTIFY_S):
                decode.put_info(detail, await write.info(session))
        except (DeviceError, TimeoutError):
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

    # Reading.

    async def poll_fast(self, session: Session, reading: MachineReading) -> Verdict:
        """Summary and boards, and whether it is told to mine only where nothing hashes."""
        parts = ("summary", "edevs") if NOT_JOINED in session.marks else ("summary", "edevs", "pools")
        status = await self._status(session, *parts)
        session.pools = decode.pools(status) or None
        resting = False if _hashes(status) else decode.rests(await write.info(session, "miner"))
        return _judge(status, reading, resting=resting)

    async def poll_slow(self, session: Session, reading: MachineReading, detail: MachineDetail) -> Verdict:
        """Those, pools, and all that it says of itself, errors included."""
        status = await self._status(session, "summary", "edevs", "pools")
        info = await write.info(session)
        decode.put_info(detail, info)
        decode.put_status(detail, status, info)
        found = _judge(status, reading, resting=decode.rests(info))
        session.slow = SlowFigures.of(detail, psu_temp_c=None if info.power is None else info.power.temp0)
        return found

    async def poll_static(self, session: Session, reading: MachineReading, detail: MachineDetail) -> Verdict:
        """The slow answers hold everything."""
        found = await self.poll_slow(session, reading, detail)
        reading.model = detail.model or reading.model
        return found

    async def _status(self, session: Session, *parts: str) -> btminer_v3.Status:
        if NOT_JOINED not in session.marks:
            found = await write.status(session, "+".join(parts))
            if found is not None and found.summary is not None:
                return found
            session.marks.add(NOT_JOINED)
        whole = btminer_v3.Status()
        for part in parts:
            found = await write.status(session, part) or btminer_v3.Status()
            whole.summary = found.summary or whole.summary
            whole.edevs = found.edevs if found.edevs is not None else whole.edevs
            whole.pools = found.pools if found.pools is not None else whole.pools
        if whole.summary is None:
            raise GarbledError(f"{session.address}: get.miner.status: no summary; expected one")
        return whole

    # Writing.

    async def sleep(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Stop the mining service."""
        return await write.switch(session, off=True, dry_run=dry_run)

    async def wake(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Start the mining service."""
        return await write.switch(session, off=False, dry_run=dry_run)

    async def reboot(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Restart the control board."""
        return await write.reboot(session, dry_run=dry_run)

    async def read_pools(self, session: Session) -> list[dict[str, str]]:
        """The configured pools; their passwords are never stated."""
        return await write.pool_list(session)

    async def write_pools(self, session: Session, pools: Sequence[PoolSetting], *, dry_run: bool = False) -> Outcome:
        """Replace the configured pools."""
        return await write.set_pools(session, pools, dry_run=dry_run)

    async def write_power(self, session: Session, power: DesiredPower, *, dry_run: bool = False) -> Outcome:
        """Set the power mode or the power limit."""
        return await write.set_power(session, power, dry_run=dry_run)

    async def write_hostname(self, session: Session, hostname: str, *, dry_run: bool = False) -> Outcome:
        """Set the network name."""
        return await write.set_hostname(session, hostname, dry_run=dry_run)


def _hashes(status: btminer_v3.Status) -> bool:
    return status.summary is not None and bool(status.summary.hash_realtime)


def _judge(status: btminer_v3.Status, reading: MachineReading, *, resting: bool) -> Verdict:
    decode.read_status(status, reading)
    return verdict(
        hashrate_ths=reading.hashrate_ths,
        nominal_ths=reading.hashrate_nominal_ths,
        uptime_s=reading.uptime_s,
        warm_up_s=WARM_UP_S,
        resting=resting,
    )
