"""Passwords of machines as they lie in the database: encrypted with the site's key, each bound to its machine."""

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings

from mbongi.base.errors import ConfigError
from mbongi.base.keys import stored_key

KEY_FILE = "machines.key"


def seal(machine_id: int, password: str) -> str:
    """Encrypt a machine's password."""
    return _cipher().encrypt(f"{machine_id}:{password}".encode()).decode("ascii")


def unseal(machine_id: int, sealed: str) -> str:
    """The password again. Raises ConfigError where it was encrypted with another key, or for another machine."""
    try:
        number, _, password = _cipher().decrypt(sealed.encode("ascii")).decode().partition(":")
    except InvalidToken as error:
        raise ConfigError(
            f"password of machine {machine_id}: cannot be decrypted; restore secrets/{KEY_FILE} of the data folder"
        ) from error
    if number != str(machine_id):
        raise ConfigError(f"password of machine {machine_id}: the record is of machine {number}")
    return password


def _cipher() -> Fernet:
    return Fernet(stored_key(settings.CONFIG.site.data_dir / "secrets" / KEY_FILE, Fernet.generate_key()))
