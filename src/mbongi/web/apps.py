"""Registers the control room with Django."""

from django.apps import AppConfig


class WebConfig(AppConfig):
    """Templates, static files and template tags of the control room."""

    name = "mbongi.web"
    label = "web"
