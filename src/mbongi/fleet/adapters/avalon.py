"""Avalons: cgminer on TCP 4028, one request at a time. Writes are in ``avalon_write``."""

from collections.abc import Sequence

from mbongi.fleet.adapters import avalon_decode as decode
from mbongi.fleet.adapters import avalon_write as write
from mbongi.fleet.adapters.session import Session, SlowFigures
from mbongi.fleet.adapters.settings import Settings
from mbongi.fleet.device_errors import RefusedError
from mbongi.fleet.ports import Outcome, PoolSetting, Support
from mbongi.fleet.reading import Found, MachineDetail, MachineReading, Verdict
from mbongi.fleet.rules.figures import verdict
from mbongi.fleet.values import Abilities, DesiredPower, Family
from mbongi.wire import avalon, cgminer
from mbongi.wire.errors import WireError

WARM_UP_S = 900.0
"""Chosen: no capture holds the rise after a start."""
_VERSION = avalon.question("version")


class Avalon(Settings):
    """The family's adapter; it keeps nothing itself."""

    family = Family.AVALON
    scorecard = (
        Support("identify", "done"),
        Support(
            "hashrate, boards, chips, fans, temperatures", "done", "a board's hashrate is its mean since the start"
        ),
        Support("power, power target, inlet temperature", "done", "what the supply draws; older firmware: gives out"),
        Support("pools, shares, errors, work mode, locating light", "done"),
        Support("sleep, wake, reboot", "done", "firmware without a wake command is rebooted"),
        Support("set pools", "done", "one by one with the password in the clear; they come into use with a reboot"),
        Support("set power mode", "done", "low and normal; older firmware is rebooted for it"),
        Support("change password", "done", "in the clear"),
        Support("set power limit", "exempt", "the target follows the mode, or is set by the maker's tool"),
        Support("set fans", "exempt", "the machine states their speed of now, not the one that is set"),
        Support("network name", "exempt", "these machines have none"),
        Support("firmware", "exempt", "the maker's tool speaks a protocol of its own"),
        Support("flash a firmware image", "exempt", "the maker's tool has a protocol of its own that is not public"),
    )

    abilities = Abilities(
        pools_max=write.POOLS_MAX, modes=write.MODES, password_length=20, rests_after_s=write.DELAY_S - 0.5
    )
    accepts_password = staticmethod(write.accepts_password)
    send_password = staticmethod(write.send_password)

    async def identify(self, session: Session) -> Found | None:
        """By the word in ``version``; None where it lacks it."""
        try:
            data = await session.ask_bytes(_VERSION)
        except RefusedError:
            return None
        if avalon.MARK not in data.upper():
            return None
        try:
            rows = cgminer.decode(data, avalon.decode_version).rows
        except WireError:
            return None
        detail = MachineDetail()
        if rows:
            decode.put_version(detail, rows[0])
        return Found(
            address=session.address,
            family=self.family,
            model=detail.model,
            mac=detail.mac,
            serial=detail.serial,
            firmware=detail.firmware,
        )

    # Reading: one answer holds all figures of the moment.

    async def poll_fast(self, session: Session, reading: MachineReading) -> Verdict:
        """``estats``."""
        return _judge(await write.figures(session), reading)

    async def poll_slow(self, session: Session, reading: MachineReading, detail: MachineDetail) -> Verdict:
        """That, and the pools."""
        figures = await write.figures(session)
        decode.put_figures(detail, figures)
        detail.pools = decode.pools(await write.pool_rows(session))
        session.slow = SlowFigures.of(detail)
        return _judge(figures, reading)

    async def poll_static(self, session: Session, reading: MachineReading, detail: MachineDetail) -> Verdict:
        """Those, and the version."""
        found = await self.poll_slow(session, reading, detail)
        rows = (await session.ask(_VERSION, avalon.decode_version)).rows
        if rows:
            decode.put_version(detail, rows[0])
        reading.model = detail.model or reading.model
        return found

    # Writing.

    async def sleep(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Stop hashing; the control board goes on answering."""
        return await write.switch(session, off=True, dry_run=dry_run)

    async def wake(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Hash again."""
        return await write.switch(session, off=False, dry_run=dry_run)

    async def reboot(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Restart the control board."""
        return await write.reboot(session, dry_run=dry_run)

    async def read_pools(self, session: Session) -> list[dict[str, str]]:
        """The configured pools, without their passwords."""
        return await write.pool_list(session)

    async def write_pools(self, session: Session, pools: Sequence[PoolSetting], *, dry_run: bool = False) -> Outcome:
        """Replace the three pools, and reboot, which brings them into use."""
        return await write.set_pools(session, pools, dry_run=dry_run)

    async def write_power(self, session: Session, power: DesiredPower, *, dry_run: bool = False) -> Outcome:
        """Set the work mode."""
        return await write.set_power(session, power, dry_run=dry_run)


def _judge(figures: avalon.Figures, reading: MachineReading) -> Verdict:
    decode.read_figures(figures, reading)
    return verdict(
        hashrate_ths=reading.hashrate_ths,
        nominal_ths=reading.hashrate_nominal_ths,
        uptime_s=reading.uptime_s,
        warm_up_s=WARM_UP_S,
        resting=decode.rests(figures),
    )
