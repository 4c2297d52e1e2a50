"""Secrets of devices as they lie in the database: encrypted with a key of their own, each bound to its device."""

import msgspec
from django.conf import settings

from mbongi.core import sealing
from mbongi.facility.ports import Credentials

KEY_FILE = "devices.key"


def seal(tag: str, protocol: str, known: Credentials) -> str:
    """Encrypt both secrets; empty where there are none."""
    if not known.secret and not known.privacy:
        return ""
    both = msgspec.json.encode([known.secret, known.privacy]).decode()
    return sealing.seal(settings.CONFIG.site.data_dir, KEY_FILE, f"{tag}/{protocol}", both)


def unseal(tag: str, protocol: str, user: str, sealed: str) -> Credentials:
    """How we sign in. Raises ConfigError where it was encrypted with another key, or for another device."""
    if not sealed:
        return Credentials(user)
    both = sealing.unseal(settings.CONFIG.site.data_dir, KEY_FILE, f"{tag}/{protocol}", sealed, kind="device")
    secret, privacy = msgspec.json.decode(both, type=tuple[str, str])
    return Credentials(user, secret, privacy)
