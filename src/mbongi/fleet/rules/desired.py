"""What a machine should be by its group's profile, how what it states differs, and what to write. Pure.

A comparison has three outcomes: the same, different, or unknown where the machine does not state it; unknown is never
taken for either.
"""

import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mbongi.fleet.reading import Stated
from mbongi.fleet.values import Abilities, ActionKind, Desired, DesiredFan, DesiredField, DesiredPower, PowerMode

TEMPLATE_FIELDS = ("account", "group", "position", "hall", "rack", "slot", "serial", "mac", "id")
PAID_FIELDS = ("account", "pools", "owner")
"""What decides who is paid for a machine's work: a second person must agree to a change of these."""
_OTHER_SIGNS = re.compile(r"[^A-Za-z0-9_-]+")
_FAN_SLACK_PCT = 1.0
_LIMIT_SLACK_W = 1.0


class TemplateError(ValueError):
    """A template that cannot be read, or that needs what a machine lacks; ``name`` is the field, empty without one."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one machine should be: a profile with its templates filled in.

    ``lacking`` names the fields that could not be filled, because the machine has no position for instance; what they
    stand in is unknown.
    """

    desired: Desired
    pools: tuple[tuple[str, str], ...] | None = None
    hostname: str | None = None
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not, or not known to be, as it should. ``known`` False: the machine does not state it."""

    field: DesiredField
    wanted: str
    found: str
    known: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What to do about differences: an action, or None with ``why_not``, a key of ``wording.WHY_NOT``."""

    fields: tuple[DesiredField, ...]
    kind: ActionKind | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    why_not: str = ""


# Templates.


def template_fields(template: str) -> list[str]:
    """The fields that a template names. Raises TemplateError where it cannot be read."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise TemplateError(f"{template!r}: {error}") from error
    names = [name for _text, name, _spec, _turn in parts if name is not None]
    for _text, name, spec, turn in parts:
        if name is not None and (name not in TEMPLATE_FIELDS or spec or turn):
            raise TemplateError(f"{template!r}: found {{{name}}}; expected {', '.join(TEMPLATE_FIELDS)}", name)
    return names


def filled(template: str, values: Mapping[str, str]) -> str:
    """A template with a machine's values. Raises TemplateError naming a field that has none."""
    for name in template_fields(template):
        if not values.get(name):
            raise TemplateError(f"{template!r}: the machine has no {name}", name)
    return template.format_map(dict(values))


def template_values(
    *,
    machine_id: int,
    account: str,
    group: str,
    hall: int | None,
    rack: int | None,
    slot: int | None,
    serial: str,
    mac: str,
) -> dict[str, str]:
    """What templates are filled with; empty where it is not known.

    What machines and people wrote is reduced to letters, digits, ``_`` and ``-``, so that it can stand in a name.
    """
    place = (hall, rack, slot)
    return {
        "account": account,
        "group": _word(group),
        "position": "" if None in place else "-".join(f"{part:02d}" for part in place if part is not None),
        "hall": "" if hall is None else f"{hall:02d}",
        "rack": "" if rack is None else f"{rack:02d}",
        "slot": "" if slot is None else f"{slot:02d}",
        "serial": _word(serial),
        "mac": mac.replace(":", "").lower(),
        "id": str(machine_id),
    }


def _word(text: str) -> str:
    return _OTHER_SIGNS.sub("-", text).strip("-")


def wanted_of(desired: Desired, values: Mapping[str, str]) -> Wanted:
    """A profile for one machine, with ``values`` as ``template_values`` gives them."""
    lacking: list[str] = []

    def fill(template: str) -> str | None:
        try:
            return filled(template, values)
        except TemplateError as error:
            lacking.append(error.name)
            return None

    users = [fill(pool.user) for pool in desired.pools]
    pools = tuple((pool.url, user) for pool, user in zip(desired.pools, users, strict=True) if user is not None)
    return Wanted(
        desired,
        pools=pools if desired.pools and len(pools) == len(desired.pools) else None,
        hostname=fill(desired.hostname) if desired.hostname else None,
        lacking=tuple(dict.fromkeys(lacking)),
    )


# Comparing.


def differences(wanted: Wanted, stated: Stated, *, owner: int, abilities: Abilities) -> list[Difference]:
    """What is not as it should be, and what is not known to be; in the order of ``DesiredField``.

    ``owner`` is whose the machine is: a tenant's number, 0 for the site itself. Of more pools than the family holds
    the first count. A power mode is not asked of a family that has none.
    """
    found = [*_pools(wanted, stated, abilities), *_power(wanted.desired.power, stated, abilities)]
    found += _fan(wanted.desired.fan, stated)
    if firmware := wanted.desired.firmware:
        # Some put their firmware's name before the version; a campaign reads it so too.
        same = firmware in {stated.firmware, stated.image} or (stated.firmware or "").endswith(f" {firmware}")
        found += _judged(DesiredField.FIRMWARE, firmware, stated.firmware or stated.image, same=same)
    if wanted.desired.hostname:
        if wanted.hostname is None:
            found.append(_unfillable(DesiredField.HOSTNAME, wanted.desired.hostname, stated.hostname or ""))
        else:
            same = wanted.hostname == stated.hostname
            found += _judged(DesiredField.HOSTNAME, wanted.hostname, stated.hostname, same=same)
    if wanted.desired.owner is not None and wanted.desired.owner != owner:
        found.append(Difference(DesiredField.OWNER, str(wanted.desired.owner), str(owner), known=True))
    return found


def _judged(name: DesiredField, wanted: str, found: str | None, *, same: bool) -> Iterator[Difference]:
    if found is None or not same:
        yield Difference(name, wanted, found or "", known=found is not None)


def _unfillable(name: DesiredField, template: str, found: str) -> Difference:
    return Difference(name, template, found, known=False)


def _pools(wanted: Wanted, stated: Stated, abilities: Abilities) -> Iterator[Difference]:
    if not wanted.desired.pools:
        return
    if wanted.pools is None:
        template = _pool_text(tuple((pool.url, pool.user) for pool in wanted.desired.pools))
        yield _unfillable(DesiredField.POOLS, template, _pool_text(stated.pools or ()))
        return
    asked = wanted.pools[: abilities.pools_max or None]
    if stated.pools is None:
        yield Difference(DesiredField.POOLS, _pool_text(asked), "", known=False)
    elif [same_pool(url) for url, _user in asked] != [same_pool(url) for url, _user in stated.pools]:
        yield Difference(DesiredField.POOLS, _pool_text(asked), _pool_text(stated.pools), known=True)
    elif [user for _url, user in asked] != [user for _url, user in stated.pools]:
        users = ", ".join(user for _url, user in asked), ", ".join(user for _url, user in stated.pools)
        yield Difference(DesiredField.WORKER, *users, known=True)


def same_pool(url: str) -> str:
    """A pool's address such that two ways to write it are alike: schemes and hosts know no capitals."""
    scheme, mark, rest = url.strip().partition("://")
    if not mark:
        scheme, rest = "stratum+tcp", url.strip()
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}://{host.lower()}{slash if path else ''}{path}"


def _pool_text(pools: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"{url} {user}".strip() for url, user in pools)


def _power(power: DesiredPower | None, stated: Stated, abilities: Abilities) -> Iterator[Difference]:
    if power is None:
        return
    asleep = (stated.mode or "").lower() == PowerMode.SLEEP
    if power.mode is PowerMode.SLEEP:
        yield from _judged(DesiredField.POWER, PowerMode.SLEEP, stated.mode, same=asleep)
    elif asleep:
        text = power.mode if power.mode is not None else f"{power.target_w} W"
        yield Difference(DesiredField.POWER, text, PowerMode.SLEEP, known=True)
    elif power.mode is not None:
        if power.mode is not PowerMode.NORMAL or abilities.modes:
            same = (stated.mode or "").lower() == power.mode
            yield from _judged(DesiredField.POWER, power.mode, stated.mode, same=same)
    elif power.target_w is not None:
        limit_w = stated.power_limit_w
        same = limit_w is not None and abs(limit_w - power.target_w) <= _LIMIT_SLACK_W
        shown = None if limit_w is None else f"{limit_w:.0f} W"
        yield from _judged(DesiredField.POWER, f"{power.target_w} W", shown, same=same)


def _fan(fan: DesiredFan | None, stated: Stated) -> Iterator[Difference]:
    if fan is None:
        return
    shown: str | None = None
    if stated.fan_auto is not None:
        shown = "auto" if stated.fan_auto else f"{stated.fan_percent or 0:.0f} %"
    if fan.percent is None:
        yield from _judged(DesiredField.FAN, "auto", shown, same=stated.fan_auto is True)
    else:
        percent = stated.fan_percent
        same = stated.fan_auto is False and percent is not None and abs(percent - fan.percent) <= _FAN_SLACK_PCT
        yield from _judged(DesiredField.FAN, f"{fan.percent} %", shown, same=same)


# What to write.


def changes(
    wanted: Wanted, found: list[Difference], abilities: Abilities, *, slept_by_profile: bool = False
) -> list[Change]:
    """What to do about the differences, in the order in which it is done.

    A sleeping machine is woken only if ``slept_by_profile``: a profile put it to sleep. Whoever else did has a reason
    that a profile knows nothing of. What is unknown is left alone: reading it comes before writing it.
    """
    by_field = {each.field: each for each in found}
    planned = []
    for name in (
        DesiredField.OWNER,
        DesiredField.FIRMWARE,
        DesiredField.HOSTNAME,
        DesiredField.FAN,
        DesiredField.POWER,
    ):
        if name in by_field:
            planned += _change(wanted, by_field[name], abilities, slept_by_profile=slept_by_profile)
    if pools := [by_field[name] for name in (DesiredField.POOLS, DesiredField.WORKER) if name in by_field]:
        planned.append(_pool_change(wanted, pools[0], abilities))
    return planned


def _change(wanted: Wanted, difference: Difference, abilities: Abilities, *, slept_by_profile: bool) -> list[Change]:
    names = (difference.field,)
    desired = wanted.desired
    match difference.field:
        case DesiredField.OWNER:
            return [Change(names, why_not="owner")]
        case DesiredField.FIRMWARE:
            return [Change(names, why_not="firmware" if difference.known else "unknown")]
        case DesiredField.HOSTNAME if wanted.hostname is None:
            return [Change(names, why_not="template")]
        case DesiredField.HOSTNAME:
            able, kind = abilities.hostname, ActionKind.SET_HOSTNAME
            arguments: dict[str, Any] = {"hostname": wanted.hostname}
        case DesiredField.FAN:
            able, kind, arguments = abilities.fan, ActionKind.SET_FAN, msgspec.to_builtins(desired.fan)
        case _:
            return _power_change(desired.power, difference, abilities, slept_by_profile=slept_by_profile)
    return [_if_possible(names, kind, arguments, able=able, known=difference.known)]


def _if_possible(
    names: tuple[DesiredField, ...], kind: ActionKind, arguments: Mapping[str, Any], *, able: bool, known: bool
) -> Change:
    if not able:
        return Change(names, why_not="unable")
    return Change(names, kind, arguments) if known else Change(names, why_not="unknown")


def _power_change(
    power: DesiredPower | None, difference: Difference, abilities: Abilities, *, slept_by_profile: bool
) -> list[Change]:
    assert power is not None
    names = (DesiredField.POWER,)
    if power.mode is PowerMode.SLEEP:
        return [_if_possible(names, ActionKind.SLEEP, {}, able=True, known=difference.known)]
    able = power.mode in abilities.modes if power.mode is not None else abilities.power_limit
    arguments = {key: value for key, value in msgspec.to_builtins(power).items() if value is not None}
    if difference.found == PowerMode.SLEEP and difference.known:
        if not slept_by_profile:
            return [Change(names, why_not="asleep")]
        wake = Change(names, ActionKind.WAKE)
        return [wake, Change(names, ActionKind.SET_POWER, arguments)] if able else [wake]
    return [_if_possible(names, ActionKind.SET_POWER, arguments, able=able, known=difference.known)]


def _pool_change(wanted: Wanted, difference: Difference, abilities: Abilities) -> Change:
    names = (difference.field,)
    if wanted.pools is None:
        return Change(names, why_not="template")
    pools = [{"url": url, "user": user} for url, user in wanted.pools[: abilities.pools_max]]
    able = abilities.pools_max > 0
    return _if_possible(names, ActionKind.SET_POOLS, {"pools": pools}, able=able, known=difference.known)


# Versions.


def version_changes(before: Desired | None, after: Desired) -> list[tuple[str, str, str]]:
    """What differs between two versions of a profile: the field (``pools.1.url``), before, after; empty: not there."""
    left = {} if before is None else dict(_flat(msgspec.to_builtins(before)))
    right = dict(_flat(msgspec.to_builtins(after)))
    names = dict.fromkeys([*left, *right])
    return [(name, left.get(name, ""), right.get(name, "")) for name in names if left.get(name) != right.get(name)]


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _flat(each, f"{name}.{key}" if name else key)
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value, 1):
            yield from _flat(each, f"{name}.{number}")
    elif value not in ("", None):
        yield name, str(value)


def redirects(before: Desired | None, after: Desired) -> bool:
    """Whether a new version changes whom machines work for or who is paid, so that a second person must agree."""
    former = Desired() if before is None else before
    return any(getattr(former, name) != getattr(after, name) for name in PAID_FIELDS)


def joining_redirects(former: Desired | None, joined: Desired | None) -> bool:
    """Whether a machine that goes from one group to another would work for others or be another's, by their profiles.

    A profile without pools and owner brings nobody any work: to leave for it, or for no group (None), changes nothing
    that pays.
    """
    return joined is not None and (bool(joined.pools) or joined.owner is not None) and redirects(former, joined)
