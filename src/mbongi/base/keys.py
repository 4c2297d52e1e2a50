"""Secrets of the site: random keys in ``data_dir/secrets``, made on first use and readable by their owner alone."""

import contextlib
import os
import secrets
from pathlib import Path

from mbongi.base.errors import ConfigError


def stored_key(path: Path, make: bytes | None = None) -> str:
    """The text in ``path``; made first where it is missing: ``make``, or 48 random bytes in URL-safe text.

    Two processes that start together get the same key: the file appears whole or not at all.
    Raises ConfigError naming the file and the cure when it cannot be read or written.
    """
    try:
        if not path.exists():
            _write_once(path, make or secrets.token_urlsafe(48).encode("ascii"))
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read or made: {error.strerror}; mend its owner, mode or disk") from error


def _write_once(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # A hard link never replaces: whoever links first decides the key, everybody else reads that one.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
