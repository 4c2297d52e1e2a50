"""Questions and writes to machines with Braiins OS: all of them want a token, which the password gives."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from mbongi.fleet.adapters import braiins_decode as decode
from mbongi.fleet.adapters import tokens, uploading
from mbongi.fleet.adapters.session import Session
from mbongi.fleet.adapters.verifying import Words, carry_out, checked_pools, pool_words, power_word, restart, unable
from mbongi.fleet.adapters.verifying import asleep as asleep_error
from mbongi.fleet.device_errors import DeniedError, GarbledError
from mbongi.fleet.image_file import ImageFile
from mbongi.fleet.ports import Outcome, PoolSetting
from mbongi.fleet.values import DesiredFan, DesiredPower
from mbongi.wire import braiins

POOLS_MAX = 3
GROUP_NAME = "Default"
Page = TypeVar("Page")


async def read(session: Session, target: str, decoder: Callable[[bytes], Page]) -> Page:
    """Read a page."""
    return session.read(decoder, (await tokens.exchange(session, "GET", target, login=login)).body)


async def details(session: Session) -> braiins.Details:
    """Who the machine is, and its state. Raises GarbledError where it states none."""
    found = await read(session, braiins.DETAILS, braiins.decode_details)
    if found.status is None:
        raise GarbledError(f"{session.address}: {braiins.DETAILS}: states no status")
    return found


async def configuration(session: Session) -> braiins.Configuration:
    """What tuner and fans are told."""
    return await read(session, braiins.CONFIGURATION, braiins.decode_configuration)


async def groups(session: Session) -> list[braiins.Group]:
    """The groups of pools."""
    return await read(session, braiins.POOLS, braiins.decode_groups)


async def login(session: Session) -> str:
    """A token. A password that was not accepted is not tried with every poll.

    Raises DeniedError where it is not accepted, or was not a while ago.
    """
    if not session.web_usable:
        raise DeniedError(f"{session.address}: login: the password was not accepted a while ago")
    access = session.access
    body = msgspec.json.encode({"username": access.braiins_user, "password": access.braiins_password})
    response = await session.send("POST", braiins.LOGIN, body)
    try:
        found = session.read(braiins.decode_token, tokens.checked(session, "POST", braiins.LOGIN, response).body).token
    except DeniedError:
        session.leave_web()
        raise
    if not found:
        raise DeniedError(f"{session.address}: login: the machine gave no token")
    return found


async def switch(session: Session, *, asleep: bool, dry_run: bool) -> Outcome:
    """Pause; or resume, or start where somebody has stopped it."""
    status = (await details(session)).status
    before = status in {braiins.PAUSED, braiins.NOT_STARTED}
    wake = braiins.START if status == braiins.NOT_STARTED else braiins.RESUME
    target = braiins.PAUSE if asleep else wake

    async def stated() -> bool:
        return decode.rests(await details(session))

    words: Words = {"paused": before}, {"paused": asleep}
    return await _change(session, words, target, None, stated, dry_run=dry_run)


async def reboot(session: Session, *, dry_run: bool) -> Outcome:
    """Restart the control board; proven by its silence or by a smaller uptime."""

    async def uptime_s() -> float:
        return (await details(session)).system_uptime_s or 0.0

    return await restart(
        uptime_s, lambda: tokens.exchange(session, "PUT", braiins.REBOOT, b"", login=login), dry_run=dry_run
    )


async def set_pools(session: Session, pools: Sequence[PoolSetting], *, dry_run: bool) -> Outcome:
    """Replace the pools of all groups by one group with these."""
    new = checked_pools(pools, count_max=POOLS_MAX, address=session.address)
    before = await pool_list(session)
    words: Words = {"pools": before}, {"pools": [pool_words(pool.url, pool.user) for pool in new]}
    group = {
        "name": GROUP_NAME,
        "load_balance_strategy": {"quota": {"value": 1}},
        "pools": [{"url": pool.url, "user": pool.user, "password": pool.password, "enabled": True} for pool in new],
    }

    async def stated() -> list[dict[str, str]]:
        return await pool_list(session)

    # The same names may go with another password, so pools are written even where they look alike.
    return await _change(session, words, braiins.POOLS_BATCH, [group], stated, dry_run=dry_run, always=True)


async def pool_list(session: Session) -> list[dict[str, str]]:
    """The configured pools, in their order."""
    return [pool_words(pool.url, pool.user) for group in await groups(session) for pool in group.pools]


async def set_power(session: Session, power: DesiredPower, *, dry_run: bool) -> Outcome:
    """Have the tuner of a machine that is awake aim at a power."""
    if power.target_w is None:
        raise unable(session.address, power_word(power), "Braiins OS aims at a power or a hashrate, and has no modes")
    if decode.rests(await details(session)):
        raise asleep_error(session.address, power_word(power))

    async def stated() -> float | None:
        return decode.power_target_w(await configuration(session))

    words: Words = {"power_limit_w": await stated()}, {"power_limit_w": float(power.target_w)}
    return await _change(session, words, braiins.POWER_TARGET, {"watt": power.target_w}, stated, dry_run=dry_run)


async def set_fan(session: Session, fan: DesiredFan, *, dry_run: bool) -> Outcome:
    """Fix the fans, or give them back to the machine."""

    async def stated() -> float | str:
        percent = decode.fan_percent(await configuration(session))
        return "auto" if percent is None else percent

    wanted = "auto" if fan.percent is None else float(fan.percent)
    mode = {"auto": {}} if fan.percent is None else {"manual": {"fan_speed_ratio": fan.percent / 100.0}}
    words: Words = {"fan_percent": await stated()}, {"fan_percent": wanted}
    return await _change(session, words, braiins.COOLING_MODE, mode, stated, dry_run=dry_run)


async def set_hostname(session: Session, hostname: str, *, dry_run: bool) -> Outcome:
    """Set the network name; its address stays as it is."""

    async def stated() -> str:
        return (await read(session, braiins.NETWORK, braiins.decode_network)).hostname

    words: Words = {"hostname": await stated()}, {"hostname": hostname}
    body = {"hostname": hostname}
    return await _change(session, words, braiins.NETWORK, body, stated, dry_run=dry_run, method="PATCH")


async def _change(
    session: Session,
    words: Words,
    target: str,
    document: object,
    stated: Callable[[], Awaitable[object]],
    *,
    dry_run: bool,
    always: bool = False,
    method: str = "PUT",
) -> Outcome:
    """Write one setting, unless it is so already, and read until the machine states it."""
    ((_, wanted),) = words[1].items()
    body = b"" if document is None else msgspec.json.encode(document)

    async def taken() -> bool:
        return bool(await stated() == wanted)

    return await carry_out(
        session.address,
        words,
        lambda: tokens.exchange(session, method, target, body, login=login),
        taken,
        dry_run=dry_run,
        always=always,
    )


async def send_image(session: Session, image: ImageFile) -> None:
    """Send an image with its size and hash, which the machine compares; the settings stay."""
    session.token = await login(session)
    metadata = {"size": image.size_bytes, "hash": image.sha256, "discard_settings": False, "disable_cleanup": False}
    shape = uploading.form("data", metadata=msgspec.json.encode(metadata))
    response = await uploading.post(session, braiins.UPGRADE, image, shape, authorization=session.token)
    tokens.checked(session, "POST", braiins.UPGRADE, response)


async def accepts_password(session: Session) -> None:
    """Log in. Raises DeniedError."""
    await login(session)


async def send_password(session: Session, old: str, new: str) -> None:  # noqa: ARG001 -- the token proves it
    """One write; its body is in no error."""
    body = msgspec.json.encode({"password": new})
    await tokens.exchange(session, "PUT", braiins.PASSWORD, body, login=login)
