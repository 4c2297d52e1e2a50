"""Django application of the plant's energy."""

from django.apps import AppConfig


class EnergyConfig(AppConfig):
    """Tariffs, supplies, figures and dispatch."""

    name = "mbongi.energy"
    label = "energy"
