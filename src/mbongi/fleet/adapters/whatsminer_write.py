"""Writes to Whatsminers: a token is fetched, the command is signed and hidden, and the machine is read again."""

import contextlib
from collections.abc import Sequence

from mbongi.fleet.adapters.session import Session
from mbongi.fleet.adapters.verifying import checked_pools, comes_true, goes_down, pool_words
from mbongi.fleet.adapters.whatsminer_decode import rests
from mbongi.fleet.device_errors import DeniedError, DeviceError, GarbledError, RejectedError, UnreachableError
from mbongi.fleet.ports import Outcome, PoolSetting
from mbongi.wire import btminer, cgminer
from mbongi.wire.errors import WireError

POOLS_MAX = 3
_STATE, _POOLS, _SUMMARY = (cgminer.command(name) for name in ("status", "pools", "summary"))
_TOKEN = cgminer.command("get_token")


async def switch(session: Session, *, off: bool, dry_run: bool) -> Outcome:
    """Switch the boards' power."""
    before = await _rests(session)
    words = {"mineroff": before}, {"mineroff": off}
    if before == off:
        return Outcome(*words, verified=True, message="already so; nothing was written")
    if dry_run:
        return Outcome(*words, verified=None, message="dry run; nothing was sent")
    if off:
        # respbefore: answer first, then act; otherwise the answer may never come.
        await _write(session, "power_off", respbefore="true")
    else:
        await _write(session, "power_on")

    async def taken() -> bool:
        return await _rests(session) == off

    seen = await comes_true(taken)
    message = "the machine states the new setting" if seen else "the machine does not state the new setting"
    return Outcome(*words, verified=seen, message=message)


async def reboot(session: Session, *, dry_run: bool) -> Outcome:
    """Restart the control board; proven by its silence or by a smaller uptime."""
    before = await _uptime_s(session)
    words = {"uptime_s": before}, {"uptime_s": 0.0}
    if dry_run:
        return Outcome(*words, verified=None, message="dry run; nothing was sent")
    with contextlib.suppress(UnreachableError, GarbledError):  # it may go down before its answer is out
        await _write(session, "reboot")
    seen = await goes_down(lambda: _uptime_s(session), before)
    return Outcome(*words, verified=seen, message="seen to restart" if seen else "not seen to restart")


async def set_pools(session: Session, pools: Sequence[PoolSetting], *, dry_run: bool) -> Outcome:
    """Replace the three pools; places that are not given become empty."""
    new = checked_pools(pools, count_max=POOLS_MAX, address=session.address)
    before = await pool_list(session)
    after = [pool_words(pool.url, pool.user) for pool in new]
    words = {"pools": before}, {"pools": after}
    if dry_run:
        return Outcome(*words, verified=None, message="dry run; nothing was sent")
    fields: dict[str, str] = {}
    for number in range(1, POOLS_MAX + 1):
        pool = new[number - 1] if number <= len(new) else PoolSetting(url="", user="", password="")
        fields |= {f"pool{number}": pool.url, f"worker{number}": pool.user, f"passwd{number}": pool.password}
    await _write(session, "update_pools", **fields)

    async def taken() -> bool:
        return await pool_list(session) == after

    seen = await comes_true(taken)
    message = "the machine states the new pools" if seen else "the machine does not state the new pools"
    return Outcome(*words, verified=seen, message=message)


async def pool_list(session: Session) -> list[dict[str, str]]:
    """The configured pools, in their order of preference."""
    found = await session.ask(_POOLS, btminer.decode_pools)
    rows = sorted(found.rows, key=lambda row: row.POOL)
    return [pool_words(row.URL, row.User) for row in rows if row.URL]


async def _rests(session: Session) -> bool:
    state = (await session.ask(_STATE, btminer.decode_state)).Msg
    if state is None or not (state.mineroff or state.btmineroff):
        raise GarbledError(f"{session.address}: status: states no mineroff")
    return rests(state)


async def _uptime_s(session: Session) -> float:
    found = await session.ask(_SUMMARY, btminer.decode_summary)
    row = found.rows[0] if found.rows else btminer.SummaryRow()
    return row.uptime or row.elapsed or 0.0


async def _write(session: Session, name: str, **fields: str) -> None:
    sealer = await _sealer(session)
    question = sealer.seal(name, **fields)
    try:
        answer = sealer.open(await session.ask_bytes(question))
    except WireError as error:
        raise GarbledError(f"{session.address}: {name}: {error}") from error
    if answer.Code == btminer.DONE or answer.STATUS == "S":
        return
    kind: type[DeviceError] = DeniedError if answer.Code in {btminer.TOKEN_WRONG, btminer.DENIED} else RejectedError
    raise kind(f"{session.address}: {name}: the machine answered Code {answer.Code}: {str(answer.Msg)[:80]}")


async def _sealer(session: Session) -> btminer.Sealer:
    token = await session.ask(_TOKEN, btminer.decode_token)
    if not isinstance(token.Msg, btminer.Token):
        raise DeniedError(
            f"{session.address}: get_token: Code {token.Code}: {str(token.Msg)[:80]}; switch the write API on with the"
            " maker's tool, and change the password from the factory's"
        )
    try:
        return btminer.Sealer(token.Msg, session.access.whatsminer_password)
    except WireError as error:
        raise GarbledError(f"{session.address}: {error}") from error
