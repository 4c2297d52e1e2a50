"""Passwords of machines as they lie in the database: encrypted with the site's key, each bound to its machine."""

from django.conf import settings

from mbongi.core import sealing

KEY_FILE = "machines.key"


def seal(machine_id: int, password: str) -> str:
    """Encrypt a machine's password."""
    return sealing.seal(settings.CONFIG.site.data_dir, KEY_FILE, str(machine_id), password)


def unseal(machine_id: int, sealed: str) -> str:
    """The password again. Raises ConfigError where it was encrypted with another key, or for another machine."""
    return sealing.unseal(settings.CONFIG.site.data_dir, KEY_FILE, str(machine_id), sealed, kind="machine")
