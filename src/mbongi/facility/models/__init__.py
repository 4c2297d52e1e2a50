"""Tables of the plant. Private: other domains use services, selectors and values.

Django finds tables by importing this package, so every one is named here.
"""

from mbongi.facility.models.device import Device

__all__ = ["Device"]
