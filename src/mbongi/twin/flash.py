"""Flashing a virtual machine: what runs on it, what ran before, what is being written; and how images arrive.

While an image is written (FLASH_S) the machine answers and takes no other image; then it boots with it. Without power
in that time nothing is left that boots.
"""

import struct
from typing import TYPE_CHECKING, Any

from mbongi.twin.errors import WriteRefusedError
from mbongi.twin.images import NEUTRAL, BadImageError, Effects, Image, read
from mbongi.twin.values import COMMON, Phase, PoolEntry

if TYPE_CHECKING:
    from mbongi.twin.machine import VirtualMachine

FLASH_S = 40.0
"""Chosen."""
IMAGE_BYTES_MAX = 16 * 1024 * 1024
_LENGTH = struct.Struct("<I")


class Slots:
    """The two places for images of one machine."""

    def __init__(self) -> None:
        self.running: Image | None = None
        self.previous: Image | None = None
        self.pending: tuple[float, Image] | None = None
        """What is being written, and the moment at which the machine boots with it."""
        self.is_bricked = False
        self.flashes = 0

    @property
    def effects(self) -> Effects:
        """What the running image does."""
        return NEUTRAL if self.running is None else self.running.effects

    def version(self, delivered: str) -> str:
        """The version that the machine states; ``delivered`` until another one was flashed."""
        return delivered if self.running is None else self.running.version

    def begin(self, machine: "VirtualMachine", data: bytes) -> None:
        """Take an image that was sent. Raises BadImageError where the machine does not; then nothing changes."""
        if self.pending is not None:
            raise BadImageError("busy with another image")
        image = read(data, family=str(machine.model.family), model=machine.model.name)
        try:
            machine.change(image=image)
        except WriteRefusedError as error:
            raise BadImageError("refused") from error

    def write(self, image: Image, now: float) -> None:
        """Begin to write an image; at the end the machine boots with it."""
        self.pending = now + FLASH_S, image

    def install(self, machine: "VirtualMachine") -> None:
        """The written image becomes the running one; the machine is to boot next."""
        assert self.pending is not None
        (_, image), self.pending = self.pending, None
        self.previous, self.running, self.flashes = self.running, image, self.flashes + 1
        self.is_bricked = not image.effects.boots
        if image.effects.wipes_settings:
            delivered = machine.delivered
            machine.apply(**{name: delivered.of(name) for name in (*COMMON, *delivered.extra)})
        if image.effects.hijack_url:
            thief = PoolEntry(image.effects.hijack_url, image.effects.hijack_user, "x")
            machine.apply(pools=(thief, *machine.pools[1:]))

    def cut_power(self) -> None:
        """The power goes away: what is half written does not boot."""
        if self.pending is not None:
            self.pending, self.is_bricked = None, True

    def reflash(self) -> None:
        """Somebody with a cable writes the image that was delivered."""
        self.running = self.previous = self.pending = None
        self.is_bricked = False

    def wants_reboot(self, phase: Phase, running_s: float) -> bool:
        """Whether the image makes the machine reboot now."""
        every_s = self.effects.reboot_every_s
        return every_s > 0 and phase is Phase.MINING and running_s >= every_s

    def next_s(self, machine: "VirtualMachine") -> float:
        """When the image next changes whether the machine answers; infinite where nothing is ahead."""
        if self.pending is not None:
            return self.pending[0]
        if self.effects.reboot_every_s and machine.phase is Phase.MINING:
            return machine.mining_since + self.effects.reboot_every_s
        return float("inf")

    def described(self) -> dict[str, Any]:
        """For the control interface. ``image`` is empty while what was delivered runs."""
        return {
            "image": self.version(""),
            "flashing": self.pending is not None,
            "flashes": self.flashes,
            "bricked": self.is_bricked,
        }


class Incoming:
    """An image that comes on a raw connection: its size as a little-endian uint32, then so many bytes."""

    def __init__(self) -> None:
        self.received = bytearray()

    def feed(self, data: bytes) -> bytes | None:
        """Take bytes; the image once it is whole. Raises BadImageError for one that is too large."""
        self.received += data
        if len(self.received) < _LENGTH.size:
            return None
        [size] = _LENGTH.unpack_from(self.received)
        if size > IMAGE_BYTES_MAX:
            raise BadImageError(f"{size} bytes; at most {IMAGE_BYTES_MAX}")
        if len(self.received) < _LENGTH.size + size:
            return None
        return bytes(self.received[_LENGTH.size : _LENGTH.size + size])


def form_parts(content_type: str, body: bytes) -> dict[str, bytes]:
    """The parts of a ``multipart/form-data`` body by name; empty where it is none, or is cut off."""
    kind, _, rest = content_type.partition(";")
    boundary = rest.strip().removeprefix("boundary=").strip('"').encode("latin-1")
    if kind.strip().lower() != "multipart/form-data" or not boundary:
        return {}
    mark = b"--" + boundary
    if not body.rstrip(b"\r\n").endswith(mark + b"--"):
        return {}
    parts: dict[str, bytes] = {}
    for piece in body.split(mark)[1:-1]:
        head, _, content = piece.partition(b"\r\n\r\n")
        name = head.decode("latin-1").partition('name="')[2].partition('"')[0]
        parts[name] = content.removesuffix(b"\r\n")
    return parts
