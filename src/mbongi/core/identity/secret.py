"""Random secrets that are shown once and stored as hashes. Pure."""

import hashlib
import secrets

TOKEN_PREFIX = "mbg_"  # noqa: S105 -- what every token starts with, so that scanners find leaked ones


def new_secret() -> str:
    """256 random bits as URL-safe text."""
    return secrets.token_urlsafe(32)


def hash_of(secret: str) -> bytes:
    """What is stored: plain SHA-256, since 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
