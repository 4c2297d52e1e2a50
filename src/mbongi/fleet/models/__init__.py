"""Tables of the fleet. Private: other domains use services, selectors and values.

Row-level security shows tenants the rows of their own machines only, so events and actions carry their machine's
tenant too. Django finds tables by importing this package, so every one is named here.
"""

from mbongi.fleet.models.action import Action
from mbongi.fleet.models.machine import Event, Machine

__all__ = ["Action", "Event", "Machine"]
