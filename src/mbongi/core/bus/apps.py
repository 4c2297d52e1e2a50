"""Django application of the bus: the outbox table."""

from django.apps import AppConfig


class BusConfig(AppConfig):
    """Messages that wait in the database until the bus has them."""

    name = "mbongi.core.bus"
    label = "bus"
