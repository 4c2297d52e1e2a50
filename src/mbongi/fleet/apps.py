"""Django application of the fleet."""

from django.apps import AppConfig


class FleetConfig(AppConfig):
    """Machines, their events and the actions on them."""

    name = "mbongi.fleet"
    label = "fleet"
