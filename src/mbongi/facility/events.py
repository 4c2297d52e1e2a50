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
