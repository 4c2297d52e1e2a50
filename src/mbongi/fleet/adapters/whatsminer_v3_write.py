"""Questions and writes to Whatsminers' API 3: a write is signed with the machine's salt and its own clock."""

from collections.abc import Sequence

from mbongi.base.clock import utc_now
from mbongi.fleet.adapters import uploading
from mbongi.fleet.adapters import whatsminer_v3_decode as decode
from mbongi.fleet.adapters.session import Session
from mbongi.fleet.adapters.verifying import asleep, carry_out, checked_pools, pool_words, power_word, restart, unable
from mbongi.fleet.device_errors import (
    DeniedError,
    DeviceError,
    GarbledError,
    RefusedError,
    RejectedError,
    UnreachableError,
)
from mbongi.fleet.image_file import ImageFile
from mbongi.fleet.ports import Outcome, PoolSetting
from mbongi.fleet.values import DesiredPower, PowerMode
from mbongi.wire import btminer_v3, cgminer
from mbongi.wire.tolerant import Reply, TolerantDecoder

POOLS_MAX = 3
ACCOUNT = "super"
VERSION = cgminer.command("get_version")
"""What the old port still answers."""
MODES = frozenset({PowerMode.LOW, PowerMode.NORMAL, PowerMode.HIGH})


async def info(session: Session, part: str | None = None) -> btminer_v3.Info:
    """What the machine says of itself, or one part of it. Raises GarbledError where it says nothing of the kind."""
    return _info_of(session, await _info_reply(session, part))


async def status(session: Session, parts: str) -> btminer_v3.Status | None:
    """Figures of the moment; None where the machine refuses the question."""
    found = await _ask(session, btminer_v3.question("get.miner.status", parts), btminer_v3.decode_status)
    return found.msg if isinstance(found.msg, btminer_v3.Status) else None


async def switch(session: Session, *, off: bool, dry_run: bool) -> Outcome:
    """Stop or start the mining service."""
    before = await _rests(session)
    words = {"stopped": before}, {"stopped": off}

    async def taken() -> bool:
        return await _rests(session) == off

    return await carry_out(
        session.address,
        words,
        lambda: send(session, "set.miner.service", "stop" if off else "start"),
        taken,
        dry_run=dry_run,
    )


async def reboot(session: Session, *, dry_run: bool) -> Outcome:
    """Restart the control board; proven by its silence or by a smaller uptime."""
    return await restart(lambda: _uptime_s(session), lambda: send(session, "set.system.reboot"), dry_run=dry_run)


async def set_pools(session: Session, pools: Sequence[PoolSetting], *, dry_run: bool) -> Outcome:
    """Replace the three pools; places that are not given become empty."""
    new = checked_pools(pools, count_max=POOLS_MAX, address=session.address)
    after = [pool_words(pool.url, pool.user) for pool in new]
    words = {"pools": await pool_list(session)}, {"pools": after}

    async def write() -> None:
        rows = [{"pool": pool.url, "worker": pool.user, "passwd": pool.password} for pool in new]
        await send(session, "set.miner.pools", rows)

    async def taken() -> bool:
        return await pool_list(session) == after

    return await carry_out(session.address, words, write, taken, dry_run=dry_run, always=True)


async def set_power(session: Session, power: DesiredPower, *, dry_run: bool) -> Outcome:
    """Set the power mode or the power limit of a machine that is awake, and nothing else; its miner restarts."""
    if power.target_w is None and power.mode not in MODES:
        raise unable(session.address, power_word(power), "Whatsminers know low, normal and high power")
    if await _rests(session):
        raise asleep(session.address, power_word(power))
    if power.target_w is None:
        return await _set_mode(session, str(power.mode), dry_run=dry_run)
    return await _set_limit(session, power.target_w, dry_run=dry_run)


async def _set_mode(session: Session, mode: str, *, dry_run: bool) -> Outcome:
    async def stated() -> str:
        return decode.mode(await info(session, "power"))

    words = {"power_mode": await stated()}, {"power_mode": mode}

    async def taken() -> bool:
        return await stated() == mode

    return await carry_out(
        session.address, words, lambda: send(session, "set.miner.power_mode", mode), taken, dry_run=dry_run
    )


async def _set_limit(session: Session, limit_w: int, *, dry_run: bool) -> Outcome:
    async def stated() -> float | None:
        found = await status(session, "summary")
        return found.summary.power_limit if found is not None and found.summary is not None else None

    words = {"power_limit_w": await stated()}, {"power_limit_w": float(limit_w)}

    async def taken() -> bool:
        return await stated() == limit_w

    return await carry_out(
        session.address, words, lambda: send(session, "set.miner.power_limit", limit_w), taken, dry_run=dry_run
    )


async def set_hostname(session: Session, hostname: str, *, dry_run: bool) -> Outcome:
    """Set the network name; the maker's text says that it comes into use with the next restart."""
    words = {"hostname": await _hostname(session)}, {"hostname": hostname}

    async def taken() -> bool:
        return await _hostname(session) == hostname

    return await carry_out(
        session.address,
        words,
        lambda: send(session, "set.system.hostname", {"hostname": hostname}),
        taken,
        dry_run=dry_run,
    )


async def _hostname(session: Session) -> str:
    found = await info(session, "network")
    if found.network is None:
        raise GarbledError(f"{session.address}: get.device.info: states no network")
    return found.network.hostname


async def pool_list(session: Session) -> list[dict[str, str]]:
    """The configured pools, in their order of preference."""
    found = await status(session, "pools")
    if found is None or found.pools is None:
        raise GarbledError(f"{session.address}: get.miner.status: states no pools")
    return [pool_words(pool.url, pool.user) for pool in decode.pools(found)]


async def send(session: Session, name: str, param: object = None) -> None:
    """One write. Raises DeniedError or RejectedError with the machine's own words where it is not taken.

    The time in the signature is the machine's own, as its last answer states it: its clock may never have been set.
    """
    question = await _signed(session, name, param)
    _check(session, name, await session.ask_framed(question, btminer_v3.decode_write, again=False))


async def _signed(session: Session, name: str, param: object) -> bytes:
    reply = await _info_reply(session, "salt")
    salt = _info_of(session, reply).salt
    if not salt:
        raise GarbledError(f"{session.address}: get.device.info: states no salt")
    ts = reply.when if reply.when is not None else int(utc_now().timestamp())
    password = session.access.whatsminer_v3_password
    return btminer_v3.signed(name, param, account=ACCOUNT, password=password, salt=salt, ts=ts)


def _check(session: Session, name: str, answer: btminer_v3.WriteReply) -> None:
    if answer.code == btminer_v3.OK:
        return
    kind: type[DeviceError] = DeniedError if answer.code == btminer_v3.DENIED else RejectedError
    hint = "; is the API switch on, and the password right?" if kind is DeniedError else ""
    raise kind(f"{session.address}: {name}: the machine answered code {answer.code}: {str(answer.msg)[:80]}{hint}")


async def _info_reply(session: Session, part: str | None) -> btminer_v3.InfoReply:
    return await _ask(session, btminer_v3.question("get.device.info", part), btminer_v3.decode_info)


async def _ask(session: Session, question: bytes, decoder: TolerantDecoder[Reply]) -> Reply:
    """A question on the framed port. Where only that one is shut the machine is not off: nothing is known of it."""
    try:
        return await session.ask_framed(question, decoder)
    except RefusedError as error:
        await session.ask_bytes(VERSION)  # refused as well: off
        raise UnreachableError(f"{error}, while port {session.access.rpc_port} answers") from error


def _info_of(session: Session, reply: btminer_v3.InfoReply) -> btminer_v3.Info:
    if not isinstance(reply.msg, btminer_v3.Info):
        text = str(reply.msg)[:80]
        raise GarbledError(f"{session.address}: get.device.info: code {reply.code}: {text}; expected an object")
    return reply.msg


async def _rests(session: Session) -> bool:
    found = await info(session, "miner")
    if found.miner is None or not found.miner.working:
        raise GarbledError(f"{session.address}: get.device.info: states no miner.working")
    return decode.rests(found)


async def _uptime_s(session: Session) -> float:
    found = await status(session, "summary")
    return (found.summary.elapsed or 0.0) if found is not None and found.summary is not None else 0.0


async def send_image(session: Session, image: ImageFile) -> None:
    """Announce an image, and send it on the same connection once the machine says that it is ready."""
    name = "set.system.update_firmware"
    question = await _signed(session, name, None)
    async with uploading.raw(session, session.access.framed_port) as connection:
        await connection.write(question)
        _check(session, name, session.read(btminer_v3.decode_write, await connection.framed_answer()))
        await connection.send(image)
        _check(session, name, session.read(btminer_v3.decode_write, await connection.framed_answer()))


async def accepts_password(session: Session) -> None:
    """Sign a harmless write: the locating light into its own control. Raises DeniedError."""
    await send(session, "set.system.led", "auto")


async def send_password(session: Session, old: str, new: str) -> None:
    """One write."""
    await send(session, "set.user.change_passwd", {"account": ACCOUNT, "old": old, "new": new})
