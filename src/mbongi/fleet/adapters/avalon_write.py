"""Questions and writes to Avalons: ``ascset`` with words between commas, then the machine is read again.

A write that several words make up (three pools and a reboot) can be half applied; the reading afterwards tells.
"""

import contextlib
from collections.abc import Sequence

from mbongi.base.clock import monotonic_s, utc_now
from mbongi.fleet.adapters import avalon_decode as decode
from mbongi.fleet.adapters.session import Session
from mbongi.fleet.adapters.verifying import (
    IN_DOUBT,
    asleep,
    carry_out,
    checked_pools,
    pool_words,
    power_word,
    restart,
    unable,
)
from mbongi.fleet.device_errors import DeniedError, GarbledError, RejectedError
from mbongi.fleet.ports import Outcome, PoolSetting
from mbongi.fleet.values import DesiredPower, PowerMode
from mbongi.wire import avalon

POOLS_MAX = 3
USER = "root"
MODES = frozenset({PowerMode.LOW, PowerMode.NORMAL})
DELAY_S = 2
"""Between the command and the moment that it names: public scripts say that it must lie ahead."""
POOLS_VERIFY_S = 45.0
"""How long a machine may take to come back with its new pools; it reboots in between."""
_STATS, _POOLS = avalon.question("estats"), avalon.question("pools")
_AUTH = "auth failed"


async def figures(session: Session) -> avalon.Figures:
    """All figures of the moment. Raises GarbledError where there are none."""
    return _figures_of(session, await session.ask(_STATS, avalon.decode_stats))


def _figures_of(session: Session, stats: avalon.Stats) -> avalon.Figures:
    found = decode.figures_of(stats)
    if not len(found):
        raise GarbledError(f"{session.address}: estats: no figures; expected the text of MM ID0")
    return found


async def pool_rows(session: Session) -> list[avalon.PoolRow]:
    """The rows of ``pools``."""
    return (await session.ask(_POOLS, avalon.decode_pools)).rows


async def pool_list(session: Session) -> list[dict[str, str]]:
    """The configured pools, in their order of preference."""
    return [pool_words(pool.url, pool.user) for pool in decode.pools(await pool_rows(session))]


async def switch(session: Session, *, off: bool, dry_run: bool) -> Outcome:
    """Stop or start hashing; where the firmware knows no ``softon``, a reboot starts it."""
    stats = await session.ask(_STATS, avalon.decode_stats)
    before, asked_s = decode.rests(_figures_of(session, stats)), monotonic_s()
    words = {"soft_off": before}, {"soft_off": off}

    async def write() -> None:
        passed_s = int(monotonic_s() - asked_s)
        moment = f"1:{_clock_s(stats) + passed_s + DELAY_S}"
        try:
            await send(session, "softoff" if off else "softon", moment)
        except RejectedError:
            if off:
                raise
            await _reboot(session)

    async def taken() -> bool:
        return decode.rests(await figures(session)) == off

    return await carry_out(
        session.address, words, write, taken, dry_run=dry_run, limit_s=POOLS_VERIFY_S, after_s=DELAY_S
    )


async def reboot(session: Session, *, dry_run: bool) -> Outcome:
    """Restart the control board; proven by its silence or by a smaller uptime."""
    return await restart(lambda: _uptime_s(session), lambda: _reboot(session), dry_run=dry_run)


async def set_pools(session: Session, pools: Sequence[PoolSetting], *, dry_run: bool) -> Outcome:
    """Replace the three pools; places that are not given become empty (chosen: by empty words)."""
    new = checked_pools(pools, count_max=POOLS_MAX, address=session.address)
    for pool in new:
        if any(sign in pool.url + pool.user + pool.password for sign in avalon.BREAKS):
            raise RejectedError(f"{session.address}: set pools: {pool}: a comma or bar, which this machine cannot take")
    before = await pool_list(session)
    after = [pool_words(pool.url, pool.user) for pool in new]
    words = {"pools": before}, {"pools": after}

    async def write() -> None:
        for index in range(POOLS_MAX):
            if index < max(len(new), len(before)):
                pool = new[index] if index < len(new) else PoolSetting(url="", user="", password="")
                await _set_pool(session, index, pool)
        await _reboot(session)

    async def taken() -> bool:
        return await pool_list(session) == after

    return await carry_out(session.address, words, write, taken, dry_run=dry_run, always=True, limit_s=POOLS_VERIFY_S)


async def set_power(session: Session, power: DesiredPower, *, dry_run: bool) -> Outcome:
    """Set the work mode of a machine that is awake, and nothing else; older firmware takes it with a reboot."""
    if power.mode not in MODES:
        raise unable(session.address, power_word(power), "Avalons are told low or normal, and no limit in watts")
    found = await figures(session)
    if decode.rests(found):
        raise asleep(session.address, power_word(power))
    words = {"power_mode": decode.mode(found)}, {"power_mode": str(power.mode)}

    async def write() -> None:
        number = next(number for number, word in decode.MODES.items() if word == power.mode)
        try:
            await send(session, "workmode", "set", number)
        except RejectedError:
            await send(session, "workmode", number)
            await _reboot(session)

    async def taken() -> bool:
        return decode.mode(await figures(session)) == power.mode

    return await carry_out(session.address, words, write, taken, dry_run=dry_run, limit_s=POOLS_VERIFY_S)


async def _set_pool(session: Session, index: int, pool: PoolSetting) -> None:
    words = (USER, session.access.avalon_password, str(index), pool.url, pool.user, pool.password)
    await send(session, "setpool", *words)


async def send(session: Session, *words: str) -> None:
    """One ``ascset``. Raises DeniedError or RejectedError with the machine's own words, and none of ours, where it is
    not taken."""
    answer = await session.ask(avalon.ascset(*words), avalon.decode_write)
    status = answer.status[0] if answer.status else None
    if status is None:
        raise GarbledError(f"{session.address}: ascset {words[0]}: no STATUS; expected one row")
    if status.STATUS in {"S", "I"}:
        return
    kind = DeniedError if _AUTH in str(status.Msg).lower() else RejectedError
    raise kind(f"{session.address}: ascset {words[0]}: code {status.Code}: {str(status.Msg)[:80]}")


async def _reboot(session: Session) -> None:
    with contextlib.suppress(*IN_DOUBT):  # it goes down without an answer
        await send(session, "reboot", "0")


def _clock_s(answer: avalon.Stats) -> int:
    """The machine's own clock, as an answer states it: some count from their start."""
    when = answer.status[0].When if answer.status else None
    return when if when is not None else int(utc_now().timestamp())


async def _uptime_s(session: Session) -> float:
    return (await figures(session)).number("Elapsed") or 0.0


async def accepts_password(session: Session) -> None:
    """Set it to itself, as nothing else that wants it is harmless. Raises DeniedError."""
    word = session.access.avalon_password
    await send(session, "password", word, word)


async def send_password(session: Session, old: str, new: str) -> None:
    """One write, in the clear, as all that this family is told."""
    await send(session, "password", old, new)
