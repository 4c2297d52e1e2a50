"""Writes to machines with VNish. It answers 200 to settings that it does not take, so only reading again is proof."""

import contextlib
from collections.abc import Sequence
from typing import Any

import msgspec

from mbongi.fleet.adapters import tokens
from mbongi.fleet.adapters.session import Session
from mbongi.fleet.adapters.verifying import checked_pools, comes_true, goes_down, pool_words
from mbongi.fleet.device_errors import DeniedError, GarbledError, UnreachableError
from mbongi.fleet.ports import Outcome, PoolSetting
from mbongi.wire import vnish

POOLS_MAX = 3
Words = tuple[dict[str, Any], dict[str, Any]]


async def switch(session: Session, *, asleep: bool, dry_run: bool) -> Outcome:
    """Stop or start the miner program."""
    before = await _rests(session)
    words: Words = {"stopped": before}, {"stopped": asleep}
    if before == asleep:
        return Outcome(*words, verified=True, message="already so; nothing was written")
    if dry_run:
        return Outcome(*words, verified=None, message="dry run; nothing was sent")
    await _send(session, vnish.STOP if asleep else vnish.START)

    async def taken() -> bool:
        return await _rests(session) == asleep

    seen = await comes_true(taken)
    message = "the machine states the new setting" if seen else "the machine does not state the new setting"
    return Outcome(*words, verified=seen, message=message)


async def reboot(session: Session, *, dry_run: bool) -> Outcome:
    """Restart the control board; proven by its silence or by a smaller time in its state."""
    before = await _state_s(session)
    words: Words = {"uptime_s": before}, {"uptime_s": 0.0}
    if dry_run:
        return Outcome(*words, verified=None, message="dry run; nothing was sent")
    with contextlib.suppress(UnreachableError, GarbledError):  # it may go down before its answer is out
        await _send(session, vnish.REBOOT)
    seen = await goes_down(lambda: _state_s(session), before)
    return Outcome(*words, verified=seen, message="seen to restart" if seen else "not seen to restart")


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
    if dry_run:
        return Outcome(*words, verified=None, message="dry run; nothing was sent")
    restart = await _save(session, {"miner": {"pools": rows}})

    async def taken() -> bool:
        return await pool_list(session) == after

    if not await comes_true(taken):
        return Outcome(*words, verified=False, message="the machine does not state the new pools")
    if restart and not await _rests(session):
        await _send(session, vnish.RESTART)
        return Outcome(*words, verified=True, message="the machine states the new pools and restarts its miner")
    return Outcome(*words, verified=True, message="the machine states the new pools")


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
    """Write settings; whether they wait for a restart of the miner program."""
    response = await tokens.exchange(session, "POST", vnish.SETTINGS, msgspec.json.encode(document), login=login)
    saved = session.read(vnish.decode_saved, response.body) if response.body else vnish.Saved()
    status = await session.page(vnish.STATUS, vnish.decode_status)
    return saved.restart_required or bool(status.restart_required)


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
