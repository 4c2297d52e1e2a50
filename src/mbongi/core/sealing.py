"""Secrets as they lie in the database: encrypted with a key of the site's own, each bound to whose it is."""

from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from mbongi.base.errors import ConfigError
from mbongi.base.keys import stored_key


def seal(data_dir: Path, key_file: str, owner: str, secret: str) -> str:
    """Encrypt what belongs to ``owner``, a word without a colon."""
    return _cipher(data_dir, key_file).encrypt(f"{owner}:{secret}".encode()).decode("ascii")


def unseal(data_dir: Path, key_file: str, owner: str, sealed: str, *, kind: str) -> str:
    """The secret again. Raises ConfigError where it was encrypted with another key, or for another owner.

    ``kind`` says in messages what an owner is, such as ``machine``.
    """
    try:
        found, _colon, secret = _cipher(data_dir, key_file).decrypt(sealed.encode("ascii")).decode().partition(":")
    except InvalidToken as error:
        raise ConfigError(
            f"secret of {kind} {owner}: cannot be decrypted; restore secrets/{key_file} of the data folder"
        ) from error
    if found != owner:
        raise ConfigError(f"secret of {kind} {owner}: the record is of {kind} {found}")
    return secret


def _cipher(data_dir: Path, key_file: str) -> Fernet:
    return Fernet(stored_key(data_dir / "secrets" / key_file, Fernet.generate_key()))
