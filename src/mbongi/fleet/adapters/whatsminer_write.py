"""Writes to Whatsminers: a token is fetched, the command is signed and hidden, and the machine is read again."""

from collections.abc import Sequence

from mbongi.fleet.adapters import uploading
from mbongi.fleet.adapters.session import Session
from mbongi.fleet.adapters.verifying import asleep, carry_out, checked_pools, pool_words, power_word, restart, unable
from mbongi.fleet.adapters.whatsminer_decode import rests, stated_limit_w, stated_mode
from mbongi.fleet.device_errors import DeniedError, DeviceError, GarbledError, RejectedError
from mbongi.fleet.image_file import ImageFile
from mbongi.fleet.ports import Outcome, PoolSetting
from mbongi.fleet.reading import Stated
from mbongi.fleet.values import DesiredPower, PowerMode
from mbongi.wire import btminer, cgminer
from mbongi.wire.errors import WireError

POOLS_MAX = 3
_STATE, _POOLS, _SUMMARY = (cgminer.command(name) for name in ("status", "pools", "summary"))
_TOKEN, _INFO, _VERSION = (cgminer.command(name) for name in ("get_token", "get_miner_info", "get_version"))
SILENT = frozenset({"reboot", *(f"set_{mode}_power" for mode in PowerMode)})
"""Writes that machines carry out without an answer (so MDK, Apache-2.0); reading again tells."""
MODES = frozenset({PowerMode.LOW, PowerMode.NORMAL, PowerMode.HIGH})


async def switch(session: Session, *, off: bool, dry_run: bool) -> Outcome:
    """Switch the boards' power."""
    before = await _rests(session)
    words = {"mineroff": before}, {"mineroff": off}

    async def write() -> None:
        if off:
            # respbefore: answer first, then act; otherwise the answer may never come.
            await _write(session, "power_off", respbefore="true")
        else:
            await _write(session, "power_on")

    async def taken() -> bool:
        return await _rests(session) == off

    return await carry_out(session.address, words, write, taken, dry_run=dry_run)


async def reboot(session: Session, *, dry_run: bool) -> Outcome:
    """Restart the control board; proven by its silence or by a smaller uptime."""
    return await restart(lambda: _uptime_s(session), lambda: _write(session, "reboot"), dry_run=dry_run)


async def set_pools(session: Session, pools: Sequence[PoolSetting], *, dry_run: bool) -> Outcome:
    """Replace the three pools; places that are not given become empty."""
    new = checked_pools(pools, count_max=POOLS_MAX, address=session.address)
    before = await pool_list(session)
    after = [pool_words(pool.url, pool.user) for pool in new]
    words = {"pools": before}, {"pools": after}

    async def write() -> None:
        fields: dict[str, str] = {}
        for number in range(1, POOLS_MAX + 1):
            pool = new[number - 1] if number <= len(new) else PoolSetting(url="", user="", password="")
            fields |= {f"pool{number}": pool.url, f"worker{number}": pool.user, f"passwd{number}": pool.password}
        await _write(session, "update_pools", **fields)

    async def taken() -> bool:
        return await pool_list(session) == after

    return await carry_out(session.address, words, write, taken, dry_run=dry_run, always=True)


async def set_power(session: Session, power: DesiredPower, *, dry_run: bool) -> Outcome:
    """Set the power mode or the power limit of a machine that is awake, and nothing else."""
    if power.target_w is None and power.mode not in MODES:
        raise unable(session.address, power_word(power), "Whatsminers know low, normal and high power")
    state, row = await _state(session), await _summary(session)
    if rests(state):
        raise asleep(session.address, power_word(power))
    name = "power_mode" if power.target_w is None else "power_limit_w"
    wanted: str | float = str(power.mode) if power.target_w is None else float(power.target_w)

    def stated(state: btminer.State, row: btminer.SummaryRow) -> str | float | None:
        return stated_mode(state, row) if power.target_w is None else stated_limit_w(state, row)

    words = {name: stated(state, row)}, {name: wanted}

    async def write() -> None:
        if power.target_w is None:
            await _write(session, f"set_{power.mode}_power")
        else:
            await _write(session, "adjust_power_limit", power_limit=str(power.target_w))

    async def taken() -> bool:
        return stated(await _state(session), await _summary(session)) == wanted

    return await carry_out(session.address, words, write, taken, dry_run=dry_run)


async def set_hostname(session: Session, hostname: str, *, dry_run: bool) -> Outcome:
    """Set the network name."""
    words = {"hostname": await _hostname(session)}, {"hostname": hostname}

    async def taken() -> bool:
        return await _hostname(session) == hostname

    return await carry_out(
        session.address, words, lambda: _write(session, "set_hostname", hostname=hostname), taken, dry_run=dry_run
    )


async def read_desired(session: Session) -> Stated:
    """The settings that a profile speaks of."""
    state, row = await _state(session), await _summary(session)
    info = (await session.ask(_INFO, btminer.decode_miner_info)).Msg or btminer.MinerInfo()
    version = (await session.ask(_VERSION, btminer.decode_version)).Msg or btminer.Version()
    return Stated(
        pools=tuple((pool["url"], pool["user"]) for pool in await pool_list(session)),
        mode="sleep" if rests(state) else stated_mode(state, row) or None,
        power_limit_w=stated_limit_w(state, row),
        firmware=version.fw_ver or None,
        hostname=info.hostname or None,
    )


async def pool_list(session: Session) -> list[dict[str, str]]:
    """The configured pools, in their order of preference."""
    found = await session.ask(_POOLS, btminer.decode_pools)
    rows = sorted(found.rows, key=lambda row: row.POOL)
    return [pool_words(row.URL, row.User) for row in rows if row.URL]


async def _rests(session: Session) -> bool:
    return rests(await _state(session))


async def _state(session: Session) -> btminer.State:
    state = (await session.ask(_STATE, btminer.decode_state)).Msg
    if state is None or not (state.mineroff or state.btmineroff):
        raise GarbledError(f"{session.address}: status: states no mineroff")
    return state


async def _summary(session: Session) -> btminer.SummaryRow:
    found = await session.ask(_SUMMARY, btminer.decode_summary)
    return found.rows[0] if found.rows else btminer.SummaryRow()


async def _hostname(session: Session) -> str:
    info = (await session.ask(_INFO, btminer.decode_miner_info)).Msg
    if info is None:
        raise GarbledError(f"{session.address}: get_miner_info: states nothing")
    return info.hostname


async def _uptime_s(session: Session) -> float:
    row = await _summary(session)
    return row.uptime or row.elapsed or 0.0


async def _write(session: Session, name: str, **fields: str) -> None:
    sealer = await _sealer(session)
    data = await session.ask_bytes(sealer.seal(name, **fields))
    if name in SILENT and not data.strip(b"\0 \r\n"):
        return
    _check(session, sealer, name, data)


def _check(session: Session, sealer: btminer.Sealer, name: str, data: bytes) -> None:
    try:
        answer = sealer.open(data)
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


async def send_image(session: Session, image: ImageFile) -> None:
    """Announce an image, and send it on the same connection once the machine says that it is ready."""
    sealer = await _sealer(session)
    async with uploading.raw(session, session.access.rpc_port) as connection:
        await connection.write(sealer.seal("update_firmware"))
        _check(session, sealer, "update_firmware", await connection.answer())
        await connection.send(image)
        _check(session, sealer, "update_firmware", await connection.answer())


async def accepts_password(session: Session) -> None:
    """Sign a harmless write: the locating light into its own control. Raises DeniedError.

    What another password hides can be opened to no command, which firmwares call by different codes.
    """
    try:
        await _write(session, "set_led", param="auto")
    except (RejectedError, GarbledError) as error:
        raise DeniedError(str(error)) from error


async def send_password(session: Session, old: str, new: str) -> None:
    """One write."""
    await _write(session, "update_pwd", old=old, new=new)
