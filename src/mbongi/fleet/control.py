"""Carrying out one asked-for action on one machine, whatever its family."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from mbongi.base.config import Fleet
from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.adapters.session import Access, Session
from mbongi.fleet.device_errors import DeviceError, RejectedError, SilentError
from mbongi.fleet.image_file import ImageArguments
from mbongi.fleet.ports import Adapter, Outcome, PasswordChange, PoolSetting, Support
from mbongi.fleet.reading import Target
from mbongi.fleet.values import ActionKind, DesiredFan, DesiredPower, Family

Form = TypeVar("Form")

EXECUTE_S = 60.0
"""The longest that an action may take, reading again included."""
UPLOAD_S = 300.0
"""The longest that sending an image may take; what the machine then takes to be back comes on top."""
NO_DATA = Path("/nonexistent")


class _PoolArguments(msgspec.Struct, forbid_unknown_fields=True):
    pools: list[PoolSetting]


class _NameArguments(msgspec.Struct, forbid_unknown_fields=True):
    hostname: str


async def execute(
    config: Fleet,
    target: Target,
    kind: ActionKind,
    arguments: Mapping[str, Any],
    *,
    dry_run: bool = False,
    data_dir: Path = NO_DATA,
) -> Outcome:
    """Read, change, verify; with ``dry_run`` only read.

    ``arguments`` of SET_POOLS: ``{"pools": [{"url", "user", "password"}]}``, the first being preferred; of SET_POWER
    and SET_FAN those of ``DesiredPower`` and ``DesiredFan``; of SET_HOSTNAME ``{"hostname"}``; of UPGRADE those of
    ``ImageArguments``, the image being in ``data_dir``; of SET_CREDENTIALS those of ``PasswordChange``; other kinds
    take none.
    They hold passwords: keep them out of logs.
    Raises a DeviceError where the machine refuses, is silent, answers what cannot be read, or rejects the change.
    """
    adapter, session = adapter_of(target.family), Session(target.address, Access.of(config))
    limit_s = limit_of(kind, arguments)
    try:
        async with asyncio.timeout(limit_s):
            return await write(adapter, session, kind, arguments, dry_run=dry_run, data_dir=data_dir)
    except DeviceError:
        raise  # a silent machine's own error, which is a TimeoutError too
    except TimeoutError as error:
        raise SilentError(f"{target.address}: {kind}: not done within {limit_s:g} s") from error
    finally:
        session.close()


def limit_of(kind: ActionKind, arguments: Mapping[str, Any], *, usual_s: float = EXECUTE_S) -> float:
    """How long an action may take: ``usual_s``, but for an image as long as its sending and the machine's return."""
    if kind is not ActionKind.UPGRADE:
        return usual_s
    return UPLOAD_S + float(arguments.get("back_s", 0.0)) + usual_s


async def write(
    adapter: Adapter,
    session: Session,
    kind: ActionKind,
    arguments: Mapping[str, Any],
    *,
    dry_run: bool,
    data_dir: Path = NO_DATA,
) -> Outcome:
    """Hand an action to the adapter's method for it. Raises RejectedError for arguments that cannot be used."""
    match kind:
        case ActionKind.SLEEP:
            outcome = await adapter.sleep(session, dry_run=dry_run)
        case ActionKind.WAKE:
            outcome = await adapter.wake(session, dry_run=dry_run)
        case ActionKind.REBOOT:
            outcome = await adapter.reboot(session, dry_run=dry_run)
        case ActionKind.SET_POOLS:
            pools = _read(session, kind, arguments, _PoolArguments).pools
            outcome = await adapter.write_pools(session, pools, dry_run=dry_run)
        case ActionKind.SET_POWER:
            outcome = await adapter.write_power(session, _power(session, arguments), dry_run=dry_run)
        case ActionKind.SET_FAN:
            outcome = await adapter.write_fan(session, _read(session, kind, arguments, DesiredFan), dry_run=dry_run)
        case ActionKind.SET_HOSTNAME:
            hostname = _read(session, kind, arguments, _NameArguments).hostname
            outcome = await adapter.write_hostname(session, hostname, dry_run=dry_run)
        case ActionKind.UPGRADE:
            given = _read(session, kind, arguments, ImageArguments)
            outcome = await adapter.upgrade(session, given.file(data_dir), back_s=given.back_s, dry_run=dry_run)
        case ActionKind.SET_CREDENTIALS:
            change = _read(session, kind, arguments, PasswordChange)
            outcome = await adapter.write_credentials(session, change, dry_run=dry_run)
    return outcome


def _power(session: Session, arguments: Mapping[str, Any]) -> DesiredPower:
    power = _read(session, ActionKind.SET_POWER, arguments, DesiredPower)
    if (power.mode is None) == (power.target_w is None):
        raise RejectedError(f"{session.address}: set_power: expected a mode or a limit, and not both")
    return power


def _read(session: Session, kind: ActionKind, arguments: Mapping[str, Any], form: type[Form]) -> Form:
    """An action's arguments. The error does not show them: they may hold a password."""
    try:
        return msgspec.convert(dict(arguments), form)
    except msgspec.ValidationError as error:
        raise RejectedError(f"{session.address}: {kind}: {error}; nothing was written") from error


def scorecards() -> dict[Family, tuple[Support, ...]]:
    """What each family supports, for pages and documents."""
    return {family: adapter_of(family).scorecard for family in Family}
