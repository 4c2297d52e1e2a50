"""Antminers with LuxOS: TCP 4028, cgminer's JSON with rows of its own. Writes are in ``luxos_write``."""

from collections.abc import Sequence

from mbongi.fleet.adapters import luxos_decode as decode
from mbongi.fleet.adapters import luxos_write as write
from mbongi.fleet.adapters.session import Session, SlowFigures
from mbongi.fleet.adapters.settings import Settings
from mbongi.fleet.device_errors import GarbledError, RefusedError
from mbongi.fleet.ports import Outcome, PoolSetting, Support
from mbongi.fleet.reading import Found, MachineDetail, MachineReading, Verdict
from mbongi.fleet.rules.figures import finite, verdict
from mbongi.fleet.values import Abilities, DesiredPower, Family
from mbongi.wire import luxos

WARM_UP_S = 900.0
"""Chosen: a captured machine hashed at full rate 57 minutes after its start; the rise itself was not captured."""
NOT_JOINED = "no joined commands"
_FAST = ("summary", "devs", "fans", "temps", "power", "stats")
_SLOW = (*_FAST, "pools", "config", "events", "profiles")


class LuxOs(Settings):
    """The family's adapter; it keeps nothing itself."""

    family = Family.LUXOS
    scorecard = (
        Support("identify", "done"),
        Support("hashrate, boards, chips, fans, power", "done"),
        Support("pools, shares, events, profile, locating light", "done"),
        Support("temperatures", "done", "of the air at the boards' corners"),
        Support("chip temperatures, inlet temperature", "exempt", "LuxOS states none"),
        Support("sleep, wake, reboot, set pools", "done", "through the one session that a machine gives"),
        Support("set power limit", "done", "to the watts of one of the machine's profiles, while ATM is off"),
        Support(
            "power mode, fans, network name", "exempt", "not proven: the shapes of these writes were not to be had"
        ),
        Support("password", "exempt", "port 4028 has none; keep the machines' network closed"),
        Support("flash a firmware image", "exempt", "updaterun names no image: it takes what its maker's server has"),
    )

    abilities = Abilities(pools_max=write.POOLS_MAX, power_limit=True)

    async def identify(self, session: Session) -> Found | None:
        """By the word in ``version``; None where it lacks it."""
        try:
            data = await session.ask_bytes(luxos.question("version"))
        except RefusedError:
            return None
        if luxos.MARK not in data.upper():
            return None
        detail = MachineDetail()
        await self._read_static(session, detail)
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
        """One joined command, pools included, and the configuration only where nothing hashes."""
        joined = await self._tables(session, _FAST if NOT_JOINED in session.marks else (*_FAST, "pools"))
        session.pools = decode.pools(joined.pools[0].pools if joined.pools else []) or None
        hashes = bool(decode.row_of(joined).ghs_5s)
        resting = False if hashes else (await write.config(session)).rests
        return self._judge(joined, reading, resting=resting)

    async def poll_slow(self, session: Session, reading: MachineReading, detail: MachineDetail) -> Verdict:
        """Those, and pools, configuration, events."""
        joined = await self._tables(session, _SLOW)
        decode.put_slow(detail, joined)
        reading.power_limit_w = finite(detail.power_limit_w)
        session.slow = SlowFigures.of(detail)
        return self._judge(joined, reading, resting=decode.config_of(joined).rests)

    async def poll_static(self, session: Session, reading: MachineReading, detail: MachineDetail) -> Verdict:
        """The slow answers, and the version."""
        found = await self.poll_slow(session, reading, detail)
        await self._read_static(session, detail)
        reading.model = detail.model or reading.model
        return found

    def _judge(self, joined: luxos.Joined, reading: MachineReading, *, resting: bool) -> Verdict:
        decode.read_joined(joined, reading)
        return verdict(
            hashrate_ths=reading.hashrate_ths,
            nominal_ths=reading.hashrate_nominal_ths,
            uptime_s=reading.uptime_s,
            warm_up_s=WARM_UP_S,
            resting=resting,
        )

    async def _tables(self, session: Session, names: tuple[str, ...]) -> luxos.Joined:
        """Several commands at once; one by one where the machine has shown that it does not join them."""
        found = luxos.Joined()
        if NOT_JOINED not in session.marks:
            found = await session.ask(luxos.question("+".join(names)), luxos.decode_joined)
            if not found.summary:
                session.marks.add(NOT_JOINED)
        if NOT_JOINED in session.marks:
            for name in names:
                setattr(found, name, [await session.ask(luxos.question(name), luxos.decode_answer)])
        if not found.summary[0].summary:
            raise GarbledError(f"{session.address}: summary: no SUMMARY; expected one row")
        return found

    async def _read_static(self, session: Session, detail: MachineDetail) -> None:
        decode.put_config(detail, await write.config(session))
        version = await session.ask(luxos.question("version"), luxos.decode_answer)
        decode.put_version(detail, version.version)

    # Writing.

    async def sleep(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Curtail: the boards lose their power, and stay so over a reboot."""
        return await write.switch(session, asleep=True, dry_run=dry_run)

    async def wake(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """End the curtailment."""
        return await write.switch(session, asleep=False, dry_run=dry_run)

    async def reboot(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Restart the control board."""
        return await write.reboot(session, dry_run=dry_run)

    async def read_pools(self, session: Session) -> list[dict[str, str]]:
        """The configured pools; LuxOS never states their passwords."""
        return await write.pool_list(session)

    async def write_pools(self, session: Session, pools: Sequence[PoolSetting], *, dry_run: bool = False) -> Outcome:
        """Replace the configured pools, of all groups."""
        return await write.set_pools(session, pools, dry_run=dry_run)

    async def write_power(self, session: Session, power: DesiredPower, *, dry_run: bool = False) -> Outcome:
        """Run at the profile of so many watts."""
        return await write.set_power(session, power, dry_run=dry_run)
