"""What to write so that a machine is set again as it stated before its firmware was changed. Pure."""

from dataclasses import replace

from mbongi.fleet.reading import Stated
from mbongi.fleet.rules.desired import Change, Wanted, changes, differences
from mbongi.fleet.values import Abilities, Desired, DesiredFan, DesiredPool, DesiredPower, PowerMode


def put_back(before: Stated, now: Stated, abilities: Abilities) -> list[Change]:
    """What to do about settings that a machine stated ``before`` and does not state ``now``.

    What it did not state before is left alone. What it does not state now is written all the same, where its family
    can be told: each write reads first, and sends nothing where it is so already.
    """
    return [change for wanted in _wanted(before, abilities) for change in _changes(wanted, now, abilities)]


def _wanted(before: Stated, abilities: Abilities) -> list[Wanted]:
    mode = (before.mode or "").lower()
    desired = Desired(
        pools=tuple(DesiredPool(url=url, user=user) for url, user in before.pools or ()),
        power=DesiredPower(mode=PowerMode(mode)) if mode in abilities.modes else None,
        fan=_fan(before),
        hostname=before.hostname or "",
    )
    found = [Wanted(desired, pools=before.pools, hostname=before.hostname)]
    if abilities.power_limit and before.power_limit_w is not None:
        # A wish of its own, after the mode: a machine may have both, and some change the limit with the mode.
        found.append(Wanted(Desired(power=DesiredPower(target_w=round(before.power_limit_w)))))
    return found


def _fan(before: Stated) -> DesiredFan | None:
    if before.fan_auto:
        return DesiredFan()
    if before.fan_auto is None or before.fan_percent is None:
        return None
    return DesiredFan(percent=round(before.fan_percent))


def _changes(wanted: Wanted, now: Stated, abilities: Abilities) -> list[Change]:
    found = differences(wanted, now, owner=0, abilities=abilities)
    unknown = {each.field for each in found if not each.known}
    planned = changes(wanted, [replace(each, known=True) for each in found], abilities)
    return [change for change in planned if change.kind is not None or not unknown.issuperset(change.fields)]
