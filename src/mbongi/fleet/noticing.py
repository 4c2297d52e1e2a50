"""Settings that a machine shows without their tier's turn: its pools in a fast poll, and what signing in says."""

from typing import Any

import msgspec

from mbongi.fleet.adapters.session import Session
from mbongi.fleet.reading import MachineDetail, PoolDetail
from mbongi.fleet.values import Family

_UPTIME_SLACK_S = 5.0
"""Programs round their uptime; what falls by more has restarted."""


def noticed(session: Session, family: Family) -> MachineDetail | None:
    """The session's facts with what the last poll showed beside its tier; None where that is nothing new."""
    changed: dict[str, Any] = {}
    pools, session.pools = session.pools, None
    if pools is not None and _which(pools) != _which(session.detail.pools):
        changed["pools"] = pools
    if (sign_in := session.sign_in(family)) != session.detail.sign_in:
        changed["sign_in"] = sign_in
    if not changed:
        return None
    session.detail = msgspec.structs.replace(session.detail, **changed)
    return session.detail


def has_restarted(session: Session, uptime_s: float) -> bool:
    """Whether the miner program's uptime says that it began anew since the last look; NaN says nothing."""
    before_s = session.uptime_s
    if uptime_s > 0:
        session.uptime_s = uptime_s
    return uptime_s < before_s - _UPTIME_SLACK_S


def _which(pools: list[PoolDetail]) -> list[tuple[str, str, bool | None]]:
    return [(pool.url, pool.user, pool.active) for pool in pools]
