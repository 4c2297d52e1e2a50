"""A firmware image on the site's disk, read piece by piece: no image is ever held whole in memory."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mbongi.fleet.device_errors import ImageBrokenError

PIECE_BYTES = 256 * 1024


FOLDER = "firmware"
"""Of the data folder: one file per image, named by its SHA-256."""
BACK_S = 600.0
"""How long a machine may take from the image's last byte until it states the new version."""


class ImageArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arguments of an upgrade: which image, by its SHA-256, and how long the machine may take to be back."""

    image: str
    version: str
    size_bytes: int
    back_s: float = BACK_S

    def file(self, data_dir: Path) -> "ImageFile":
        """The image's file."""
        return ImageFile(data_dir / FOLDER / self.image, self.image, self.size_bytes, self.version)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image to be sent to a machine, which then states ``version``. ``sha256`` is of the whole file, as hex."""

    path: Path
    sha256: str
    size_bytes: int
    version: str

    async def pieces(self) -> AsyncIterator[bytes]:
        """Its bytes in their order. The last piece is given only once the hash of all is right.

        So a machine never gets a whole image that is not the one that was signed. Raises ImageBrokenError where the
        file is missing, cannot be read, or is another one.
        """
        digest, size, held = hashlib.sha256(), 0, b""
        try:
            with self.path.open("rb") as file:
                while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
                    digest.update(piece)
                    size += len(piece)
                    if held:
                        yield held
                    held = piece
        except OSError as error:
            raise ImageBrokenError(f"image {self.sha256[:12]}: cannot be read: {error.strerror}") from error
        if size != self.size_bytes or digest.hexdigest() != self.sha256:
            raise ImageBrokenError(
                f"image {self.sha256[:12]}: the file on disk is not the one that was stored: {size} bytes with SHA-256"
                f" {digest.hexdigest()[:12]}; expected {self.size_bytes} bytes"
            )
        yield held
