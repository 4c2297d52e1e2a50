"""Firmware images of virtual machines: built for tests and drills, read as a machine reads them. Pure.

An image is bytes: a line that says what it is, a line with one JSON object, and filler up to any size. The object names
the family, the models, the version, the filler's SHA-256, and what the image does to the machine (``Effects``), so that
good and bad images are alike until they run. A machine knows nothing of the site's signatures; it refuses what is cut
off, damaged, or made for others.
"""

import hashlib
import random

import msgspec

MAGIC = b"MBONGI-VIRTUAL-IMAGE 1\n"
HEAD_BYTES_MAX = 16 * 1024
SIZE_BYTES = 1024 * 1024
"""Of an image, unless told otherwise: enough that sending it takes many pieces."""


class BadImageError(ValueError):
    """An image that a machine does not take."""


class Effects(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an image does to the machine; by default nothing.

    ``reject_share`` is added to the machine's own, ``temp_offset_k`` to each board. The machine reboots whenever its
    miner has run for ``reboot_every_s`` (0: never). One that does not boot stays dark. ``wipes_settings`` brings pools
    and passwords back to delivery; ``hijack_url`` and ``hijack_user`` take the first pool's place.
    """

    hashrate_factor: float = 1.0
    power_factor: float = 1.0
    reject_share: float = 0.0
    hw_error_factor: float = 1.0
    temp_offset_k: float = 0.0
    reboot_every_s: float = 0.0
    boots: bool = True
    wipes_settings: bool = False
    hijack_url: str = ""
    hijack_user: str = ""


class Image(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands in an image. ``models`` empty: all of the family."""

    family: str
    version: str
    filler_sha256: str
    models: tuple[str, ...] = ()
    effects: Effects = Effects()


NEUTRAL = Effects()


def build(
    family: str, version: str, *, models: tuple[str, ...] = (), effects: Effects = NEUTRAL, size_bytes: int = SIZE_BYTES
) -> bytes:
    """An image's bytes, ``size_bytes`` or a little more. The same arguments give the same bytes."""
    filler = random.Random(f"{family}/{version}").randbytes(size_bytes)  # noqa: S311 -- filler of a simulation
    image = Image(
        family=family,
        version=version,
        models=models,
        filler_sha256=hashlib.sha256(filler).hexdigest(),
        effects=effects,
    )
    return MAGIC + msgspec.json.encode(image) + b"\n" + filler


def read(data: bytes, *, family: str, model: str) -> Image:
    """The image that a machine of this family and model was sent. Raises BadImageError saying why it takes none."""
    if not data.startswith(MAGIC):
        raise BadImageError("no image of a virtual machine")
    end = data.find(b"\n", len(MAGIC), len(MAGIC) + HEAD_BYTES_MAX)
    if end < 0:
        raise BadImageError("cut off in its head")
    try:
        image = msgspec.json.decode(data[len(MAGIC) : end], type=Image)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadImageError(f"head cannot be read: {error}") from error
    if hashlib.sha256(memoryview(data)[end + 1 :]).hexdigest() != image.filler_sha256:
        raise BadImageError("cut off or damaged")
    if image.family != family:
        raise BadImageError(f"made for {image.family}")
    if image.models and model not in image.models:
        raise BadImageError(f"made for {', '.join(image.models)}")
    return image
