"""Carrying out one asked-for action on one machine, whatever its family."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from mbongi.base.config import Fleet
from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.adapters.session import Access, Session
from mbongi.fleet.device_errors import RejectedError, SilentError
from mbongi.fleet.ports import Outcome, PoolSetting, Support
from mbongi.fleet.reading import Target
from mbongi.fleet.values import ActionKind, Family

EXECUTE_S = 60.0
"""The longest that an action may take, reading again included."""


class _PoolArguments(msgspec.Struct, forbid_unknown_fields=True):
    pools: list[PoolSetting]


async def execute(
    config: Fleet, target: Target, kind: ActionKind, arguments: Mapping[str, Any], *, dry_run: bool = False
) -> Outcome:
    """Read, change, verify; with ``dry_run`` only read.

    ``arguments`` of SET_POOLS: ``{"pools": [{"url", "user", "password"}]}``, the first being preferred; other kinds
    take none. They hold passwords: keep them out of logs.
    Raises a DeviceError where the machine refuses, is silent, answers what cannot be read, or rejects the change.
    """
    adapter, session = adapter_of(target.family), Session(target.address, Access.of(config))
    try:
        async with asyncio.timeout(EXECUTE_S):
            match kind:
                case ActionKind.SLEEP:
                    return await adapter.sleep(session, dry_run=dry_run)
                case ActionKind.WAKE:
                    return await adapter.wake(session, dry_run=dry_run)
                case ActionKind.REBOOT:
                    return await adapter.reboot(session, dry_run=dry_run)
                case ActionKind.SET_POOLS:
                    return await adapter.write_pools(session, pools_of(target, arguments), dry_run=dry_run)
    except TimeoutError as error:
        raise SilentError(f"{target.address}: {kind}: not done within {EXECUTE_S:g} s") from error
    finally:
        session.close()


def pools_of(target: Target, arguments: Mapping[str, Any]) -> list[PoolSetting]:
    """The pools of an action's arguments. Raises RejectedError, without showing them, where they cannot be used."""
    try:
        return msgspec.convert(dict(arguments), _PoolArguments).pools
    except msgspec.ValidationError as error:
        raise RejectedError(f"{target.address}: set pools: {error}; expected pools with url, user, password") from error


def scorecards() -> dict[Family, tuple[Support, ...]]:
    """What each family supports, for pages and documents."""
    return {family: adapter_of(family).scorecard for family in Family}
