"""What of a machine is not as its group's profile wants it, in the words of conditions. Pure: no sockets, no clock.

What a machine does not state is neither drift nor its end. A machine that sleeps is not told from one that was put to
sleep by somebody who may, so a profile that wants it awake says nothing of its power until it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mbongi.base.ids import MachineId
from mbongi.fleet.reading import MachineDetail, Stated
from mbongi.fleet.rules.desired import Wanted, differences, same_pool
from mbongi.fleet.values import Abilities, DesiredField, EventKind, PowerMode, SignIn

KIND_OF: Mapping[DesiredField, EventKind] = {
    DesiredField.POOLS: EventKind.POOL_DRIFT,
    DesiredField.WORKER: EventKind.WORKER_DRIFT,
    DesiredField.POWER: EventKind.POWER_DRIFT,
    DesiredField.FAN: EventKind.FAN_DRIFT,
    DesiredField.FIRMWARE: EventKind.FIRMWARE_DRIFT,
    DesiredField.HOSTNAME: EventKind.NAME_DRIFT,
}
DRIFT_KINDS = (*KIND_OF.values(), EventKind.CREDENTIALS_DRIFT)
TEXT_MAX = 400


@dataclass(frozen=True, slots=True)
class DriftSight:
    """What one look at a machine says: what drifts, with the figures for its sentence, and what is not known."""

    machine_id: MachineId
    drifting: Mapping[EventKind, Mapping[str, str]] = field(default_factory=dict)
    unknown: frozenset[EventKind] = frozenset()


@dataclass(frozen=True, slots=True)
class InUse:
    """The pool that a machine works for, as it states it."""

    url: str
    user: str


def in_use(detail: MachineDetail) -> InUse | None:
    """The pool that a machine works for; None where it does not say, or says none."""
    return next((InUse(pool.url, pool.user) for pool in detail.pools if pool.active and pool.url), None)


def is_wanted(found: InUse, wanted: Wanted) -> bool | None:
    """Whether a pool is one of the profile's with the worker that it wants; None where the profile does not say."""
    if wanted.pools is None:
        return None
    return (same_pool(found.url), found.user) in {(same_pool(url), user) for url, user in wanted.pools}


def drift_of(
    machine_id: MachineId, wanted: Wanted | None, stated: Stated, used: InUse | None, abilities: Abilities, sign: SignIn
) -> DriftSight:
    """What drifts on one machine. ``wanted`` None: no profile speaks of it, and so nothing does."""
    if wanted is None:
        return DriftSight(machine_id)
    # Whose a machine is, is the site's own record, and not the machine's to change.
    found = differences(wanted, stated, owner=wanted.desired.owner or 0, abilities=abilities)
    drifting: dict[EventKind, Mapping[str, str]] = {
        KIND_OF[each.field]: {"wanted": _shown(each.wanted), "found": _shown(each.found)}
        for each in found
        if each.known
    }
    unknown = {KIND_OF[each.field] for each in found if not each.known}
    if any(each.field is DesiredField.POOLS and not each.known for each in found):
        unknown.add(EventKind.WORKER_DRIFT)
    _add_in_use(drifting, unknown, wanted, used)
    if _only_sleeps(wanted, stated):
        drifting.pop(EventKind.POWER_DRIFT, None)
        unknown.add(EventKind.POWER_DRIFT)
    if sign in {SignIn.REFUSED, SignIn.FACTORY}:
        drifting[EventKind.CREDENTIALS_DRIFT] = {"sign_in": str(sign)}
    elif sign is SignIn.UNKNOWN:
        unknown.add(EventKind.CREDENTIALS_DRIFT)
    return DriftSight(machine_id, drifting, frozenset(unknown))


def _add_in_use(
    drifting: dict[EventKind, Mapping[str, str]], unknown: set[EventKind], wanted: Wanted, used: InUse | None
) -> None:
    """A machine may work for a pool that its settings do not name: by a redirection, or by a firmware that lies."""
    if used is None or wanted.pools is None or is_wanted(used, wanted) is not False:
        return
    hosts = {same_pool(url) for url, _user in wanted.pools}
    kind = EventKind.WORKER_DRIFT if same_pool(used.url) in hosts else EventKind.POOL_DRIFT
    if EventKind.POOL_DRIFT not in drifting and kind not in drifting:
        text = ", ".join(f"{url} {user}" for url, user in wanted.pools)
        drifting[kind] = {"wanted": _shown(text), "found": _shown(f"{used.url} {used.user}")}
        unknown.discard(kind)


def _only_sleeps(wanted: Wanted, stated: Stated) -> bool:
    power = wanted.desired.power
    asleep = (stated.mode or "").lower() == PowerMode.SLEEP
    return power is not None and power.mode is not PowerMode.SLEEP and asleep


def _shown(text: str) -> str:
    """Without what stands before an ``@`` in an address: pools are written with passwords there."""
    words = [_without_secret(word) for word in text.split(" ")]
    return " ".join(words)[:TEXT_MAX]


def _without_secret(word: str) -> str:
    scheme, mark, rest = word.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}" if mark else word


def shown_url(url: str) -> str:
    """A pool's address for people and records: no user and no password in it."""
    return _without_secret(same_pool(url))[:TEXT_MAX]
