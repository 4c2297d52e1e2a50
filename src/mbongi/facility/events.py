"""What the plant tells of itself."""

import msgspec

from mbongi.core.bus.messages import message

TAGS_MAX = 200
"""Tags that one message names, at most."""


@message("facility.inventory.v1")
class InventoryChanged(msgspec.Struct, frozen=True, kw_only=True):
    """Elements by their tags were added or changed, or what joins them.

    Empty ``tags``: more than a message names; whoever keeps a copy reads all of it anew.
    """

    tags: tuple[str, ...]
    at_ms: int


class AlarmWord(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm as it stands: ``state`` is a ``rules.alarm_state.State``, ``key`` its definition's.

    ``root_id``: the alarm that it is a consequence of.
    """

    alarm_id: int
    key: str
    tag: str
    state: str
    priority: str
    active: bool
    root_id: int | None


@message("facility.alarms.v1")
class AlarmsChanged(msgspec.Struct, frozen=True, kw_only=True):
    """Alarms changed, ``total`` of them; ``alarms`` are the first of them, most urgent first.

    ``at_ms`` is milliseconds since 1970, UTC.
    """

    alarms: tuple[AlarmWord, ...]
    total: int
    at_ms: int
