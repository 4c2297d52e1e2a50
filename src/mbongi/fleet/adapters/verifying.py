"""The last step of read–modify–verify: reading again until the machine states what was asked of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from mbongi.base.clock import monotonic_s
from mbongi.fleet.device_errors import DeviceError, RejectedError
from mbongi.fleet.ports import PoolSetting
from mbongi.fleet.values import DesiredPower

VERIFY_S = 20.0
"""How long a machine may take to state its new settings; beyond, the outcome says that they were not seen."""
PAUSE_S = 0.5
_WAIT_ONE_S = 5.0
_BREAK = "\r\n\0"


async def comes_true(check: Callable[[], Awaitable[bool]], *, limit_s: float = VERIFY_S) -> bool:
    """Whether ``check`` becomes true within the limit; a machine that does not answer meanwhile is asked again."""
    until = monotonic_s() + limit_s
    while True:
        try:
            async with asyncio.timeout(_WAIT_ONE_S):
                if await check():
                    return True
        except (DeviceError, TimeoutError):
            pass
        if monotonic_s() + PAUSE_S >= until:
            return False
        await asyncio.sleep(PAUSE_S)


async def goes_down(uptime_s: Callable[[], Awaitable[float]], before_s: float, *, limit_s: float = VERIFY_S) -> bool:
    """Whether a machine is seen to restart within the limit: it stops answering, or its uptime falls."""
    until = monotonic_s() + limit_s
    while monotonic_s() < until:
        try:
            async with asyncio.timeout(_WAIT_ONE_S):
                if await uptime_s() < before_s:
                    return True
        except (DeviceError, TimeoutError):
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
