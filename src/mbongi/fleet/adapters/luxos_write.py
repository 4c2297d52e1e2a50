"""Writes to machines with LuxOS. Most need the machine's one session: taken, used, given back.

Pools cannot be replaced in one command. The new ones are added before the old ones go, so that whatever breaks in
between leaves the machine with a pool; asking again finishes the work.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from mbongi.base.clock import monotonic_s
from mbongi.fleet.adapters.luxos_decode import in_order, profile_w
from mbongi.fleet.adapters.session import Session
from mbongi.fleet.adapters.verifying import Words, carry_out, checked_pools, pool_words, power_word, restart, unable
from mbongi.fleet.adapters.verifying import asleep as asleep_error
from mbongi.fleet.device_errors import DeviceError, GarbledError, RejectedError
from mbongi.fleet.ports import Outcome, PoolSetting
from mbongi.fleet.values import DesiredPower
from mbongi.wire import luxos
from mbongi.wire.errors import WireError

POOLS_MAX = 3
SESSION_WAIT_S = 10.0
"""So long another program's session is waited out; a machine's own limit is ``luxos.SESSION_S`` after its last use."""
SESSION_PAUSE_S = 1.0


async def config(session: Session) -> luxos.ConfigRow:
    """The configuration. Raises GarbledError where the machine states none."""
    found = await session.ask(luxos.question("config"), luxos.decode_answer)
    if not found.config:
        raise GarbledError(f"{session.address}: config: no CONFIG; expected one row")
    return found.config[0]


async def switch(session: Session, *, asleep: bool, dry_run: bool) -> Outcome:
    """Curtail, or end it."""
    before = (await config(session)).rests
    words: Words = {"asleep": before}, {"asleep": asleep}

    async def taken() -> bool:
        return (await config(session)).rests == asleep

    return await carry_out(
        session.address,
        words,
        lambda: _write_in_session(session, "curtail", luxos.SLEEP if asleep else luxos.WAKE),
        taken,
        dry_run=dry_run,
    )


async def reboot(session: Session, *, dry_run: bool) -> Outcome:
    """Restart the control board; proven by its silence or by a smaller uptime."""
    return await restart(
        lambda: _uptime_s(session), lambda: _write_in_session(session, "rebootdevice"), dry_run=dry_run
    )


async def _uptime_s(session: Session) -> float:
    found = await session.ask(luxos.question("summary"), luxos.decode_answer)
    return (found.summary[0].elapsed or 0.0) if found.summary else 0.0


async def set_power(session: Session, power: DesiredPower, *, dry_run: bool) -> Outcome:
    """Have a machine that is awake run at the profile of so many watts.

    Refused while ATM, which chooses the profile by itself, would take it back.
    """
    if power.target_w is None:
        raise unable(session.address, power_word(power), "LuxOS has profiles and no modes")
    found = await config(session)
    if found.rests:
        raise asleep_error(session.address, power_word(power))
    rows = (await session.ask(luxos.question("profiles"), luxos.decode_answer)).profiles
    name = next((row.name for row in rows if row.watts == power.target_w), None)
    if name is None:
        known = ", ".join(f"{row.watts:.0f}" for row in rows if row.watts is not None)
        raise unable(session.address, power_word(power), f"the machine's profiles draw {known} W; choose one of these")
    words: Words = {"power_limit_w": profile_w(found.profile, rows)}, {"power_limit_w": float(power.target_w)}
    if found.profile == name:
        return Outcome(*words, verified=True, message="already so; nothing was written")
    if found.atm:
        raise unable(session.address, power_word(power), "ATM chooses the profile and would take it back")

    async def taken() -> bool:
        return (await config(session)).profile == name

    return await carry_out(
        session.address,
        words,
        lambda: _write_in_session(session, "profileset", name),
        taken,
        dry_run=dry_run,
        always=True,
    )


# Pools.


async def set_pools(session: Session, pools: Sequence[PoolSetting], *, dry_run: bool) -> Outcome:
    """Replace all pools: add the new ones, then take the old ones and their groups away."""
    new = checked_pools(pools, count_max=POOLS_MAX, address=session.address)
    for pool in new:
        if any("," in text for text in (pool.url, pool.user, pool.password)):
            raise RejectedError(f"{session.address}: set pools: {pool}: LuxOS takes no commas")
    old = await _pool_rows(session)
    after = [pool_words(pool.url, pool.user) for pool in new]
    words: Words = {"pools": [pool_words(row.url, row.user) for row in old]}, {"pools": after}

    async def write() -> None:
        for pool in new:
            await _write(session, "addpool", pool.url, pool.user, pool.password, 0)
        await _remove(session, keep=len(new))

    async def taken() -> bool:
        return await pool_list(session) == after

    return await carry_out(session.address, words, write, taken, dry_run=dry_run, always=True)


async def _remove(session: Session, *, keep: int) -> None:
    """Take away all pools but the ``keep`` newest of the first group, highest number first; then the other groups."""
    rows = sorted(await _pool_rows(session), key=lambda row: row.id)
    newest = [row.id for row in rows if row.group == 0][-keep:]
    for row in reversed(rows):
        if row.id not in newest:
            await _write(session, "removepool", row.id)
    groups = await session.ask(luxos.question("groups"), luxos.decode_answer)
    for group in sorted((group.id for group in groups.groups if group.id > 0), reverse=True):
        await _write(session, "removegroup", group)


async def pool_list(session: Session) -> list[dict[str, str]]:
    """The configured pools, in their order of preference."""
    return [pool_words(row.url, row.user) for row in await _pool_rows(session)]


async def _pool_rows(session: Session) -> list[luxos.PoolRow]:
    return in_order((await session.ask(luxos.question("pools"), luxos.decode_answer)).pools)


# Sessions.


@contextlib.asynccontextmanager
async def _logged_on(session: Session) -> AsyncIterator[str]:
    """The machine's session, given back at the end. Raises RejectedError where another program keeps it."""
    mark = await _logon(session)
    try:
        yield mark
    finally:
        with contextlib.suppress(DeviceError):  # a machine that went down has forgotten it
            await session.ask(luxos.question("logoff", mark), luxos.decode_answer)


async def _logon(session: Session) -> str:
    until = monotonic_s() + SESSION_WAIT_S
    while True:
        found = await session.ask(luxos.question("logon"), luxos.decode_answer)
        if found.session and found.session[0].id:
            return found.session[0].id
        if found.code != luxos.SESSION_HELD or monotonic_s() >= until:
            break
        await asyncio.sleep(SESSION_PAUSE_S)
    held = found.code == luxos.SESSION_HELD
    words = "another program holds its session; try again in a minute" if held else found.refusal or "no session"
    raise RejectedError(f"{session.address}: logon: {words}")


async def _write_in_session(session: Session, name: str, *parameters: object) -> None:
    async with _logged_on(session) as mark:
        await _write(session, name, mark, *parameters)


async def _write(session: Session, name: str, *parameters: object) -> None:
    """Send a write; no error text holds its parameters. Raises RejectedError where the machine did not take it."""
    try:
        data = luxos.question(name, *parameters)
    except WireError as error:
        raise RejectedError(f"{session.address}: {name}: {error}") from None
    found = await session.ask(data, luxos.decode_answer)
    if found.refusal:
        raise RejectedError(f"{session.address}: {name}: the machine answered {found.refusal}")
