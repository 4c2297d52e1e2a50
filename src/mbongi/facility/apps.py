"""Django application of the plant."""

from django.apps import AppConfig


class FacilityConfig(AppConfig):
    """Elements of the plant, how they are joined, what they state, alarms and procedures."""

    name = "mbongi.facility"
    label = "facility"
