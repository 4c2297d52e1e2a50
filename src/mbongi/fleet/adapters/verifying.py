"""Read–modify–verify: a write is sent once, and the machine is read until it states what was asked of it.

An answer that never comes says nothing: the write may have been taken. Then too only reading tells, and nothing is
sent a second time.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from mbongi.base.clock import monotonic_s
from mbongi.fleet.device_errors import (
    DeviceError,
    FencedError,
    GarbledError,
    RefusedError,
    RejectedError,
    SilentError,
    UnreachableError,
)
from mbongi.fleet.ports import Outcome, PoolSetting
from mbongi.fleet.values import DesiredPower

VERIFY_S = 20.0
"""How long a machine that answers may take to state its new settings; beyond, they count as not taken."""
DOWN_S = 90.0
"""How long in all a machine may be silent after a write, as while it restarts; beyond, nothing is known of it."""
PAUSE_S = 0.5
_WAIT_ONE_S = 5.0
IN_DOUBT = (SilentError, UnreachableError, GarbledError)
"""What may come instead of the answer to a write that was taken."""
_DOWN = (SilentError, UnreachableError, RefusedError, TimeoutError)
Words = tuple[dict[str, Any], dict[str, Any]]
"""Settings before a write and after it, as outcomes show them."""
_BREAK = "\r\n\0"


async def carry_out(
    address: str,
    words: Words,
    send: Callable[[], Awaitable[object]],
    taken: Callable[[], Awaitable[bool]],
    *,
    dry_run: bool,
    always: bool = False,
    limit_s: float | None = None,
    after_s: float = 0.0,
) -> Outcome:
    """Send a write, unless it is so already (``always``: even then), and read until ``taken`` says that it is.

    ``after_s``: it cannot be so earlier after the write, and the machine is left in peace until then.

    Raises what ``send`` raises where the machine did not take the write, and SilentError where the machine gives no
    answer any more, so that nobody knows.
    """
    if words[0] == words[1] and not always:
        return Outcome(*words, verified=True, message="already so; nothing was written")
    if dry_run:
        return Outcome(*words, verified=None, message="dry run; nothing was sent")
    doubt = ""
    try:
        await send()
    except IN_DOUBT as error:
        doubt = f"{error}; "
    await asyncio.sleep(after_s)
    seen = await comes_true(taken, limit_s=limit_s)
    if seen is None:
        why = doubt or f"{address}: no answer any more; "
        raise SilentError(f"{why}whether the machine has the new setting is unknown")
    message = "the machine states the new setting" if seen else "the machine does not state the new setting"
    return Outcome(*words, verified=seen, message=doubt + message)


async def restart(
    uptime_s: Callable[[], Awaitable[float]], send: Callable[[], Awaitable[object]], *, dry_run: bool
) -> Outcome:
    """Have a machine restart; proven by its silence or by a smaller uptime. It may go down before its answer is out."""
    before = await uptime_s()
    words: Words = {"uptime_s": before}, {"uptime_s": 0.0}
    if dry_run:
        return Outcome(*words, verified=None, message="dry run; nothing was sent")
    with contextlib.suppress(*IN_DOUBT):
        await send()
    seen = await goes_down(uptime_s, before)
    return Outcome(*words, verified=seen, message="seen to restart" if seen else "not seen to restart")


async def comes_true(check: Callable[[], Awaitable[bool]], *, limit_s: float | None = None) -> bool | None:
    """Whether ``check`` becomes true within the limit (VERIFY_S); None where the machine is silent at the end of it.

    Silence puts the end off, by the same limit again and at most until DOWN_S.
    """
    limit_s = VERIFY_S if limit_s is None else limit_s
    begun, found = monotonic_s(), None
    until = begun + limit_s
    while True:
        try:
            async with asyncio.timeout(_WAIT_ONE_S):
                if await check():
                    return True
            found = False
        except FencedError:
            raise
        except (DeviceError, TimeoutError):
            found = None
            until = max(until, min(monotonic_s() + limit_s, begun + DOWN_S))
        if monotonic_s() + PAUSE_S >= until:
            return found
        await asyncio.sleep(PAUSE_S)


async def goes_down(uptime_s: Callable[[], Awaitable[float]], before_s: float) -> bool:
    """Whether a machine is seen to restart within VERIFY_S: it stops answering, or its uptime falls."""
    until = monotonic_s() + VERIFY_S
    while monotonic_s() < until:
        try:
            async with asyncio.timeout(_WAIT_ONE_S):
                if await uptime_s() < before_s:
                    return True
        except _DOWN:
            return True
        await asyncio.sleep(PAUSE_S)
    return False


def unable(address: str, what: str, why: str) -> RejectedError:
    """The refusal of a setting that the family does not have; nothing was sent."""
    return RejectedError(f"{address}: {what}: {why}; nothing was written")


def asleep(address: str, what: str) -> RejectedError:
    """The refusal of a setting that would wake a sleeping machine."""
    return unable(address, what, "the machine sleeps and would wake; wake it first")


def power_word(power: DesiredPower) -> str:
    """A mode or a limit in words."""
    return f"power mode {power.mode}" if power.mode is not None else f"power limit {power.target_w} W"


def checked_pools(pools: Sequence[PoolSetting], *, count_max: int, address: str) -> list[PoolSetting]:
    """The pools, if the device can hold them. Raises RejectedError before anything is written where it cannot."""
    if not 1 <= len(pools) <= count_max:
        raise RejectedError(f"{address}: set pools: {len(pools)} given; the machine holds 1 to {count_max}")
    for pool in pools:
        if not pool.url.strip() or any(sign in pool.url + pool.user + pool.password for sign in _BREAK):
            raise RejectedError(f"{address}: set pools: {pool}: expected a URL, and no line breaks")
    return list(pools)


def pool_words(url: str, user: str) -> dict[str, str]:
    """A pool as outcomes and pages show it: never with its password."""
    return {"url": url, "user": user}
