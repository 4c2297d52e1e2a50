"""The files of firmware images: each under its SHA-256, whole or not there at all, and its signature's check."""

import hashlib
import mmap
import os
import secrets
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mbongi.fleet.errors import ImageRefusedError
from mbongi.fleet.image_file import FOLDER

KEPT_S = 24 * 3600.0
"""A file that no image was made of goes after so long."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file of the store."""

    sha256: str
    size_bytes: int


def keep(data_dir: Path, pieces: Iterable[bytes], *, bytes_max: int) -> Stored:
    """Write a file into the store; on disk for certain when this returns. The same bytes are kept once.

    Raises ImageRefusedError for an empty file, one above ``bytes_max``, and where it cannot be written; then nothing
    of it is left.
    """
    folder = data_dir / FOLDER
    draft = folder / f".draft.{secrets.token_hex(8)}"
    digest, size = hashlib.sha256(), 0
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with draft.open("xb") as file:
            for piece in pieces:
                size += len(piece)
                if size > bytes_max:
                    raise ImageRefusedError(f"store an image: more than {bytes_max} bytes, which is the limit")
                digest.update(piece)
                file.write(piece)
            if not size:
                raise ImageRefusedError("store an image: found an empty file")
            file.flush()
            os.fsync(file.fileno())
        draft.rename(folder / digest.hexdigest())
        _sync(folder)
    except OSError as error:
        raise ImageRefusedError(f"store an image: {folder}: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
    return Stored(digest.hexdigest(), size)


def stored(data_dir: Path, sha256: str) -> Stored:
    """A file of the store, read and compared with its name. Raises ImageRefusedError where it is missing or another."""
    path = data_dir / FOLDER / sha256
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
                size += len(piece)
    except OSError as error:
        raise ImageRefusedError(f"image {sha256[:12]}: not in the store: {error.strerror}") from error
    if digest.hexdigest() != sha256:
        raise ImageRefusedError(f"image {sha256[:12]}: the file in the store has changed")
    return Stored(sha256, size)


def is_signed(data_dir: Path, sha256: str, signature: bytes, public_key: bytes) -> bool:
    """Whether the signature is that key's, of the whole file. The file is mapped, so that its size costs no memory."""
    path = data_dir / FOLDER / sha256
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
            memoryview(content) as whole,
        ):
            Ed25519PublicKey.from_public_bytes(public_key).verify(signature, whole)
    except (InvalidSignature, ValueError):
        return False
    return True


def drop(data_dir: Path, sha256: str) -> None:
    """Take a file away; one that is gone already is no error."""
    (data_dir / FOLDER / sha256).unlink(missing_ok=True)


def tidy(data_dir: Path, wanted: Collection[str]) -> None:
    """Take away files that are older than KEPT_S and not ``wanted``."""
    folder = data_dir / FOLDER
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name not in wanted and time.time() - path.stat().st_mtime > KEPT_S:
            path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
