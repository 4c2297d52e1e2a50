"""Writes to machines with VNish. It answers 200 to settings that it does not take, so only reading again is proof."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from mbongi.fleet.adapters import tokens, uploading
from mbongi.fleet.adapters.session import Session
from mbongi.fleet.adapters.verifying import Words, carry_out, checked_pools, pool_words, power_word, restart, unable
from mbongi.fleet.adapters.verifying import asleep as asleep_error
from mbongi.fleet.device_errors import DeniedError, GarbledError
from mbongi.fleet.image_file import ImageFile
from mbongi.fleet.ports import Outcome, PoolSetting
from mbongi.fleet.values import DesiredPower
from mbongi.wire import vnish

POOLS_MAX = 3


async def switch(session: Session, *, asleep: bool, dry_run: bool) -> Outcome:
    """Stop or start the miner program."""
    before = await _rests(session)
    words: Words = {"stopped": before}, {"stopped": asleep}

    async def taken() -> bool:
        return await _rests(session) == asleep

    return await carry_out(
        session.address, words, lambda: _send(session, vnish.STOP if asleep else vnish.START), taken, dry_run=dry_run
    )


async def reboot(session: Session, *, dry_run: bool) -> Outcome:
    """Restart the control board; proven by its silence or by a smaller time in its state."""
    return await restart(lambda: _state_s(session), lambda: _send(session, vnish.REBOOT), dry_run=dry_run)


async def set_pools(session: Session, pools: Sequence[PoolSetting], *, dry_run: bool) -> Outcome:
    """Replace the pools, and restart the miner program where the machine says that it must be."""
    new = checked_pools(pools, count_max=POOLS_MAX, address=session.address)
    before = await pool_list(session)
    rows = [
        {"url": vnish.without_scheme(pool.url), "user": pool.user, "pass": pool.password, "order": order, "id": order}
        for order, pool in enumerate(new)
    ]
    after = [pool_words(vnish.with_scheme(pool.url), pool.user) for pool in new]
    words: Words = {"pools": before}, {"pools": after}

    async def taken() -> bool:
        return await pool_list(session) == after

    return await _save_and_use(session, words, {"pools": rows}, taken, dry_run=dry_run, always=True)


async def set_power(session: Session, power: DesiredPower, *, dry_run: bool) -> Outcome:
    """Have a machine that is awake run at the preset of so many watts, and restart its miner program for it."""
    if power.target_w is None:
        raise unable(session.address, power_word(power), "VNish has presets and no modes")
    if await _rests(session):
        raise asleep_error(session.address, power_word(power))
    before = preset_w((await settings(session)).miner.overclock.preset or "")
    words: Words = {"power_limit_w": before}, {"power_limit_w": float(power.target_w)}
    if words[0] == words[1]:
        return Outcome(*words, verified=True, message="already so; nothing was written")
    response = await tokens.exchange(session, "GET", vnish.PRESETS, login=login)
    found = [preset.name for preset in session.read(vnish.decode_presets, response.body) if _usable(preset)]
    name = str(power.target_w)
    if name not in found:
        why = f"the machine's presets draw {', '.join(found)} W; choose one of these"
        raise unable(session.address, power_word(power), why)
    # The whole part is sent back, as the frequencies of single boards stand in it too.
    overclock = await _part(session, "miner", "overclock") | {"preset": name}

    async def taken() -> bool:
        return (await settings(session)).miner.overclock.preset == name

    return await _save_and_use(session, words, {"overclock": overclock}, taken, dry_run=dry_run)


async def _save_and_use(
    session: Session,
    words: Words,
    miner: dict[str, Any],
    is_saved: Callable[[], Awaitable[bool]],
    *,
    dry_run: bool,
    always: bool = False,
) -> Outcome:
    """Save settings, and restart the miner program of a machine that is awake where they wait for that."""
    waits = False

    async def save() -> None:
        nonlocal waits
        waits = await _save(session, {"miner": miner})

    saved = await carry_out(session.address, words, save, is_saved, dry_run=dry_run, always=always)
    if not saved.verified or await _rests(session) or not (waits or await _waits(session)):
        return saved

    async def taken() -> bool:
        return not await _waits(session) and await is_saved()

    restarted = await carry_out(
        session.address, words, lambda: _send(session, vnish.RESTART), taken, dry_run=False, always=True
    )
    how = "restarts its miner" if restarted.verified else "has not restarted its miner, which goes on as before"
    return Outcome(*words, verified=restarted.verified, message=f"{saved.message} and {how}")


async def _waits(session: Session) -> bool:
    """Whether settings that are saved wait for a restart of the miner program."""
    return bool((await session.page(vnish.STATUS, vnish.decode_status)).restart_required)


def preset_w(name: str) -> float | None:
    """The power that a preset is named by; None for ``disabled``."""
    return float(name) if name.isdigit() else None


def _usable(preset: vnish.Preset) -> bool:
    return preset.name.isdigit() and not preset.modded_psu_required


async def set_hostname(session: Session, hostname: str, *, dry_run: bool) -> Outcome:
    """Set the network name; the other fields of the network go back as they came."""
    network = await _part(session, "network")
    words: Words = {"hostname": network.get("hostname")}, {"hostname": hostname}

    async def taken() -> bool:
        return (await _part(session, "network")) == network | {"hostname": hostname}

    return await carry_out(
        session.address,
        words,
        lambda: _save(session, {"network": network | {"hostname": hostname}}),
        taken,
        dry_run=dry_run,
    )


async def _part(session: Session, *path: str) -> dict[str, Any]:
    """A part of the settings as it came. Raises GarbledError where there is none."""
    response = await tokens.exchange(session, "GET", vnish.SETTINGS, login=login)
    try:
        found = msgspec.json.decode(response.body)
    except msgspec.DecodeError as error:
        raise GarbledError(f"{session.address}: settings: not JSON: {error}") from error
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise GarbledError(f"{session.address}: settings: no {'.'.join(path)}; expected an object")
    return found


async def pool_list(session: Session) -> list[dict[str, str]]:
    """The configured pools, in their order."""
    found = (await settings(session)).miner.pools
    return [pool_words(vnish.with_scheme(pool.url), pool.user) for pool in found if pool.url]


async def settings(session: Session) -> vnish.Settings:
    """The settings; newer firmware wants the token for them."""
    response = await tokens.exchange(session, "GET", vnish.SETTINGS, login=login)
    return session.read(vnish.decode_settings, response.body)


async def login(session: Session) -> str:
    """Unlock the machine. Raises DeniedError where it does not accept our password."""
    body = msgspec.json.encode({"pw": session.access.vnish_password})
    response = tokens.checked(session, "POST", vnish.UNLOCK, await session.send("POST", vnish.UNLOCK, body))
    token = session.read(vnish.decode_token, response.body).token
    if not token:
        raise DeniedError(f"{session.address}: unlock: the machine gave no token")
    return f"Bearer {token}"


async def _save(session: Session, document: dict[str, Any]) -> bool:
    """Write settings; whether the machine answers that they wait for a restart of the miner program."""
    response = await tokens.exchange(session, "POST", vnish.SETTINGS, msgspec.json.encode(document), login=login)
    return bool(response.body) and session.read(vnish.decode_saved, response.body).restart_required


async def _send(session: Session, target: str) -> None:
    # The documented answer is an empty body.
    await tokens.exchange(session, "POST", target, b"", login=login)


async def _rests(session: Session) -> bool:
    state = (await session.page(vnish.STATUS, vnish.decode_status)).miner_state
    if not state:
        raise GarbledError(f"{session.address}: status: states no miner_state")
    return state in vnish.RESTING


async def _state_s(session: Session) -> float:
    return (await session.page(vnish.STATUS, vnish.decode_status)).miner_state_time or 0.0


async def send_image(session: Session, image: ImageFile) -> None:
    """Send an image; the settings stay."""
    session.token = await login(session)
    shape = uploading.form("file", keep_settings=b"true")
    response = await uploading.post(session, vnish.UPGRADE, image, shape, authorization=session.token)
    tokens.checked(session, "POST", vnish.UPGRADE, response)


async def accepts_password(session: Session) -> None:
    """Unlock. Raises DeniedError."""
    await login(session)


async def send_password(session: Session, old: str, new: str) -> None:
    """One write; its body is in no error."""
    body = msgspec.json.encode({"password": {"current": old, "pw": new}})
    await tokens.exchange(session, "POST", vnish.SETTINGS, body, login=login)
