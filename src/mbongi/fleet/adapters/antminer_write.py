"""Writes to stock Antminers. ``set_miner_conf`` takes the whole document, so it is read, changed where asked, sent
back whole, and read again; a field that changed without being asked for is reported.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from mbongi.fleet.adapters import uploading
from mbongi.fleet.adapters.session import Session
from mbongi.fleet.adapters.verifying import (
    Words,
    asleep,
    carry_out,
    checked_pools,
    pool_words,
    power_word,
    restart,
    unable,
)
from mbongi.fleet.device_errors import (
    DeniedError,
    GarbledError,
    MissingPageError,
    RejectedError,
)
from mbongi.fleet.image_file import ImageFile
from mbongi.fleet.ports import Outcome, PoolSetting
from mbongi.fleet.values import DesiredFan, DesiredPower, PowerMode
from mbongi.wire import antminer
from mbongi.wire.antminer import PAGE, WORK_MODES
from mbongi.wire.errors import WireError

GET_CONF, SET_CONF = PAGE.format("get_miner_conf"), PAGE.format("set_miner_conf")
UPGRADE = PAGE.format("upgrade")
REBOOT, STATS = PAGE.format("reboot"), PAGE.format("stats")
SYSTEM_INFO, PASSWORD = PAGE.format("get_system_info"), PAGE.format("passwd")
POOLS_MAX = 3
MODE = "bitmain-work-mode"
FAN_FIXED, FAN_PERCENT = "bitmain-fan-ctrl", "bitmain-fan-pwm"
MODES = {PowerMode.NORMAL: antminer.NORMAL_MODE, PowerMode.LOW: antminer.LOW_MODE}
_WRITTEN_NAMES = {"bitmain-work-mode": "miner-mode", "bitmain-freq-level": "freq-level"}
"""The page that reads the document and the page that writes it name these fields differently; both are sent."""


class Document:
    """A whole configuration, pool passwords included; nothing of it may reach a log, so it has no useful ``repr``."""

    __slots__ = ("fields",)

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields

    def __repr__(self) -> str:
        return f"Document({len(self.fields)} fields)"

    @property
    def mode(self) -> str:
        """The work mode's number as text; empty where it is not stated."""
        return str(self.fields.get(MODE, self.fields.get("miner-mode", "")))

    @property
    def work_mode(self) -> str:
        """The work mode's word."""
        return WORK_MODES.get(self.mode, self.mode)

    @property
    def pools(self) -> list[dict[str, Any]]:
        """The configured pools with their passwords."""
        found = self.fields.get("pools")
        return [pool for pool in found if isinstance(pool, dict)] if isinstance(found, list) else []

    def pool_words(self) -> list[dict[str, str]]:
        """The configured pools without passwords."""
        return [
            pool_words(str(pool.get("url", "")), str(pool.get("user", ""))) for pool in self.pools if pool.get("url")
        ]

    @property
    def fan_auto(self) -> bool | None:
        """Whether the fans follow the machine's own control; None where that is not stated."""
        found = self.fields.get(FAN_FIXED)
        return None if found is None else str(found).lower() not in {"true", "1"}

    @property
    def fan_percent(self) -> float | None:
        """What the fans are fixed at; None where they are not."""
        found = str(self.fields.get(FAN_PERCENT, ""))
        return float(found) if self.fan_auto is False and found.isdigit() else None

    def with_fields(self, **changes: Any) -> "Document":
        """A copy with some fields changed and every other kept."""
        return Document(self.fields | changes)

    def differing(self, other: "Document") -> set[str]:
        """The names of the fields that differ."""
        names = self.fields.keys() | other.fields.keys()
        return {name for name in names if self.fields.get(name) != other.fields.get(name)}

    def to_send(self) -> bytes:
        """The body of the write."""
        body = dict(self.fields)
        for read_name, written_name in _WRITTEN_NAMES.items():
            if read_name in body:
                body[written_name] = body[read_name]
        return msgspec.json.encode(body)


async def read_document(session: Session) -> Document:
    """The machine's whole configuration."""
    body = (await session.exchange("GET", GET_CONF)).body
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise GarbledError(f"{session.address}: get_miner_conf: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise GarbledError(f"{session.address}: get_miner_conf: found {type(found).__name__}; expected an object")
    return Document(found)


async def set_work_mode(session: Session, mode: str, *, dry_run: bool, whatever_mode: bool = False) -> Outcome:
    """Change the work mode and nothing else. Waking leaves a mode of its own, unless ``whatever_mode``."""
    before = await read_document(session)
    if not before.mode:
        raise GarbledError(f"{session.address}: get_miner_conf: states no {MODE}; nothing was written")
    # A machine in a mode of its own (low power) is awake: waking it must not change that.
    if mode == antminer.NORMAL_MODE and before.mode != antminer.SLEEP_MODE and not whatever_mode:
        mode = before.mode
    words = {"work_mode": before.work_mode}, {"work_mode": WORK_MODES.get(mode, mode)}
    if mode == before.mode:
        return Outcome(*words, verified=True, message="already so; nothing was written")
    return await _write(
        session, before, before.with_fields(**{MODE: _alike(before, MODE, mode)}), words, dry_run=dry_run
    )


def _alike(document: Document, name: str, value: str) -> str | int:
    """A value in the type that the machine itself writes this field in."""
    return int(value) if isinstance(document.fields.get(name), int) else value


async def set_power(session: Session, power: DesiredPower, *, dry_run: bool) -> Outcome:
    """Change the work mode of a machine that is awake, and nothing else."""
    if power.mode not in MODES:
        raise unable(session.address, power_word(power), "stock Antminers know normal and low power, no limit in watts")
    before = await read_document(session)
    if before.mode == antminer.SLEEP_MODE:
        raise asleep(session.address, power_word(power))
    return await set_work_mode(session, MODES[power.mode], dry_run=dry_run, whatever_mode=True)


async def set_fan(session: Session, fan: DesiredFan, *, dry_run: bool) -> Outcome:
    """Change the fans' control and nothing else; the document stays whole around it."""
    before = await read_document(session)
    if before.fan_auto is None:
        raise GarbledError(f"{session.address}: get_miner_conf: states no {FAN_FIXED}; nothing was written")
    fixed = fan.percent is not None
    changes: dict[str, Any] = {FAN_FIXED: fixed if isinstance(before.fields[FAN_FIXED], bool) else str(fixed).lower()}
    if fixed:
        changes[FAN_PERCENT] = _alike(before, FAN_PERCENT, str(fan.percent))
    wanted = before.with_fields(**changes)
    words = _fan_words(before), _fan_words(wanted)
    if words[0] == words[1]:
        return Outcome(*words, verified=True, message="already so; nothing was written")
    return await _write(session, before, wanted, words, dry_run=dry_run)


def _fan_words(document: Document) -> dict[str, Any]:
    return {"fan_percent": "auto" if document.fan_auto else document.fan_percent}


async def set_pools(session: Session, pools: Sequence[PoolSetting], *, dry_run: bool) -> Outcome:
    """Change the pools and nothing else."""
    new = checked_pools(pools, count_max=POOLS_MAX, address=session.address)
    before = await read_document(session)
    rows = [{"url": pool.url, "user": pool.user, "pass": pool.password} for pool in new]
    rows += [{"url": "", "user": "", "pass": ""}] * (max(len(before.pools), len(rows)) - len(rows))
    wanted = before.with_fields(pools=rows)
    words = {"pools": before.pool_words()}, {"pools": wanted.pool_words()}
    return await _write(session, before, wanted, words, dry_run=dry_run)


async def _write(
    session: Session,
    before: Document,
    wanted: Document,
    words: Words,
    *,
    dry_run: bool,
) -> Outcome:
    names, found = wanted.differing(before), before

    async def write() -> None:
        response = await session.exchange("POST", SET_CONF, wanted.to_send())
        _check_answer(session, response.body)

    async def taken() -> bool:
        nonlocal found
        found = await read_document(session)
        return not names & found.differing(wanted)

    outcome = await carry_out(session.address, words, write, taken, dry_run=dry_run, always=True)
    strays = sorted(found.differing(before) - names)
    if strays:
        return Outcome(*words, verified=False, message=f"the machine also changed {', '.join(strays)}")
    return outcome


def _check_answer(session: Session, body: bytes, page: str = "set_miner_conf") -> None:
    try:
        answer = antminer.decode_write(body)
    except WireError:
        return  # Some firmwares answer a page of text; reading the document again is the proof.
    if answer.stats == "error" or (answer.code and not answer.code.endswith("000")):
        raise RejectedError(f"{session.address}: {page}: the machine answered {answer.code} {answer.msg}")


async def reboot(session: Session, *, dry_run: bool) -> Outcome:
    """Restart the control board; proven by its silence or by a smaller uptime."""
    return await restart(
        lambda: _uptime_s(session), lambda: session.exchange("GET", REBOOT, again=False), dry_run=dry_run
    )


async def _uptime_s(session: Session) -> float:
    page = await session.page(STATS, antminer.decode_stats)
    return (page.rows[0].elapsed or 0.0) if page.rows else 0.0


async def send_image(session: Session, image: ImageFile) -> None:
    """Send an image to the upgrade page, which keeps the settings. A refusal to sign in is answered once."""
    for again in (False, True):
        authorization = session.signer.sign("POST", UPGRADE)
        response = await uploading.post(
            session, UPGRADE, image, uploading.form("firmware"), authorization=authorization
        )
        if response.status != 401 or again:
            break
        session.take_challenge(response)
    if response.status in {401, 403}:
        raise DeniedError(f"{session.address}: POST {UPGRADE}: user and password are not accepted")
    if response.status == 404:
        raise MissingPageError(f"{session.address}: POST {UPGRADE}: HTTP 404: no such page")
    try:
        answer = antminer.decode_write(response.body)
    except WireError as error:
        raise GarbledError(f"{session.address}: upgrade: {error}") from error
    if answer.stats == "error" or (answer.code and not answer.code.endswith("000")):
        raise RejectedError(f"{session.address}: upgrade: the machine answered {answer.code} {answer.msg}")


async def accepts_password(session: Session) -> None:
    """Open a page that wants it. Raises DeniedError."""
    await session.exchange("GET", SYSTEM_INFO)


async def send_password(session: Session, old: str, new: str) -> None:
    """One write; its body is in no error."""
    body = msgspec.json.encode({"curPwd": old, "newPwd": new, "confirmPwd": new})
    response = await session.exchange("POST", PASSWORD, body)
    _check_answer(session, response.body, "passwd")
