"""What the arguments of an action must look like before it is written down. Pure but for the reader's language."""

from collections.abc import Mapping
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from mbongi.fleet.errors import ActionRefusedError
from mbongi.fleet.image_file import ImageArguments
from mbongi.fleet.pool_rules import checked_pools
from mbongi.fleet.profile_rules import checked_desired
from mbongi.fleet.values import ActionKind, Desired, DesiredFan, DesiredPower


def checked_arguments(kind: ActionKind, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """An action's arguments as they are stored. Raises ActionRefusedError saying what cannot be used."""
    if kind is ActionKind.SET_POOLS:
        return checked_pools(arguments)
    if kind in _DESIRED:
        return _checked_setting(kind, arguments)
    if kind is ActionKind.UPGRADE:
        return dict(msgspec.to_builtins(msgspec.convert(dict(arguments), ImageArguments)))
    if arguments:
        raise ActionRefusedError(
            f"{kind}: found arguments {', '.join(map(repr, sorted(arguments)))}; expected none",
            _("This action takes no arguments."),
        )
    return {}


_DESIRED = {
    ActionKind.SET_POWER: lambda found: Desired(power=msgspec.convert(found, DesiredPower)),
    ActionKind.SET_FAN: lambda found: Desired(fan=msgspec.convert(found, DesiredFan)),
    ActionKind.SET_HOSTNAME: lambda found: Desired(hostname=msgspec.convert(found, dict[str, str])["hostname"]),
}


def _checked_setting(kind: ActionKind, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """As a profile's document is checked, so that nothing goes to a machine that no profile could hold."""
    try:
        checked_desired(_DESIRED[kind](dict(arguments)))
    except (msgspec.ValidationError, KeyError) as error:
        text = _("These settings cannot be read: %(error)s") % {"error": error}
        raise ActionRefusedError(f"{kind}: {error}", text) from error
    return dict(arguments)
