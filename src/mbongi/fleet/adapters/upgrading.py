"""Flashing a machine: what it states before, the image, and reading again until it is back with the new version.

Whatever an image does, the pools that the machine states must be the same before and after: firmware decides who is
paid.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mbongi.base.clock import monotonic_s
from mbongi.fleet.adapters.verifying import asleep
from mbongi.fleet.device_errors import DeviceError, GarbledError, SilentError, UnreachableError
from mbongi.fleet.image_file import ImageFile
from mbongi.fleet.ports import Outcome
from mbongi.fleet.reading import Stated
from mbongi.fleet.rules.stated import stated_words

if TYPE_CHECKING:
    from mbongi.fleet.adapters.session import Session

PAUSE_S = 2.0
_READ_S = 10.0
Read = Callable[["Session"], Awaitable[Stated]]


async def upgraded(
    session: "Session",
    image: ImageFile,
    read: Read,
    send: Callable[[], Awaitable[None]],
    *,
    back_s: float,
    dry_run: bool,
) -> Outcome:
    """Flash a machine that is awake and wait until it is back, ``back_s`` at most.

    The outcome's ``before`` and ``after`` hold ``firmware`` and ``pools`` as the machine stated them, and what else it
    states of its settings; ``firmware`` and ``pools`` are None after it did not come back. Raises RejectedError for
    one that sleeps, and what ``send`` raises before the machine has the image.
    """
    stated = await read(session)
    if stated.firmware is None:
        raise GarbledError(f"{session.address}: flash {image.version}: it states no version; nothing was written")
    before = _words(stated)
    wanted = before | {"firmware": image.version}
    if runs(stated, image.version):
        return Outcome(before, wanted, verified=True, message="runs this version already; nothing was written")
    if stated.mode == "sleep":
        raise asleep(session.address, f"flash {image.version}")
    if dry_run:
        return Outcome(before, wanted, verified=None, message="dry run; nothing was sent")
    doubt = ""
    try:
        await send()
    except (UnreachableError, GarbledError, SilentError) as error:
        doubt = f"{error}; "  # It may have taken the image and gone down before its answer was out.
    found = await seen_back(session, image.version, read, back_s=back_s)
    outcome = judged(before, found, image.version, back_s)
    return Outcome(outcome.before, outcome.after, outcome.verified, doubt + outcome.message)


async def seen_back(session: "Session", version: str, read: Read, *, back_s: float) -> Stated | None:
    """What the machine states once it states ``version``; what it stated last where it does not within ``back_s``.

    None where it has not answered at all in the last third of that time.
    """
    began_s = monotonic_s()
    found: Stated | None = None
    at_s = began_s
    while True:
        session.close()
        try:
            async with asyncio.timeout(_READ_S):
                found, at_s = await read(session), monotonic_s()
        except (DeviceError, TimeoutError):
            pass
        now_s = monotonic_s()
        if found is not None and runs(found, version):
            return found
        if now_s + PAUSE_S >= began_s + back_s:
            return found if now_s - at_s < back_s / 3 else None
        await asyncio.sleep(PAUSE_S)


def runs(stated: Stated, version: str) -> bool:
    """Whether a machine states a version; some put their firmware's name before it."""
    return stated.firmware is not None and (stated.firmware == version or stated.firmware.endswith(f" {version}"))


def judged(before: Mapping[str, Any], found: Stated | None, version: str, back_s: float) -> Outcome:
    """What came of a flash, by what the machine states after it; ``before`` may be empty where nobody knows."""
    if found is None:
        message = f"the machine is not back within {back_s:g} s"
        return Outcome(dict(before), {"firmware": None, "pools": None}, verified=False, message=message)
    after = _words(found)
    if not runs(found, version):
        message = f"the machine states version {found.firmware}; expected {version}"
        return Outcome(dict(before), after, verified=False, message=message)
    if "pools" in before and after["pools"] != before["pools"]:
        message = f"the machine runs {version} and its pools have changed: {_listed(found.pools)}"
        return Outcome(dict(before), after, verified=False, message=message)
    return Outcome(dict(before), after, verified=True, message=f"the machine is back with {version} and its pools")


def _words(stated: Stated) -> dict[str, Any]:
    """Everything that it states of its settings: an image may change any of them."""
    return {"firmware": None, "pools": []} | stated_words(stated)


def _listed(pools: Sequence[tuple[str, str]] | None) -> str:
    return ", ".join(f"{url} {user}" for url, user in pools or ()) or "none"
