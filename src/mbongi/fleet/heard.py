"""What the fleet hears from other domains over the bus. They publish these once they are there; anybody may today."""

import msgspec

from mbongi.core.bus.messages import message


@message("facility.power_capacity.v1")
class PowerCapacity(msgspec.Struct, frozen=True, kw_only=True):
    """How much power the site may draw [W]; None: as much as it wants, again. ``until_ms`` None: until told otherwise.

    ``at_ms`` is milliseconds since 1970, UTC; an older message than the last one heard changes nothing.
    """

    available_w: float | None
    source: str
    at_ms: int
    until_ms: int | None = None


@message("energy.price.v1")
class EnergyPrice(msgspec.Struct, frozen=True, kw_only=True):
    """What energy costs now, per MWh, in the currency that the site's triggers are written in."""

    per_mwh: float
    source: str
    at_ms: int
