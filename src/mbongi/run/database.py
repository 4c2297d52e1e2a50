"""Sets Django up for a process that is not the web server."""

import os

import django


def use_database() -> None:
    """Make models, services and selectors importable; import them only afterwards."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mbongi.settings")
    django.setup()
