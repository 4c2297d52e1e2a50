"""Signed notes and checkpoints in the formats of C2SP (signed-note, tlog-checkpoint). Pure but for the signature.

A checkpoint is three lines (origin, size, root in base64), an empty line, and a line with the signature:

    pilot.mbongi/ledger
    1234
    qZ2…=

    — pilot.mbongi/ledger Az3…=

Source: https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint
"""

import base64
import binascii
import re
from collections.abc import Iterator
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mbongi.core.ledger.errors import NoteError
from mbongi.core.ledger.merkle import HASH_BYTES
from mbongi.core.ledger.values import Checkpoint

_ED25519 = b"\x01"
_KEY_ID_BYTES = 4
_NOTE = re.compile(r"(?P<text>(?:[^\n]+\n)+)\n(?P<signatures>(?:\u2014 [^ \n]+ [^ \n]+\n)+)")


class Verifier:
    """A name and its public key; checks notes that claim to be signed by it."""

    def __init__(self, name: str, key: Ed25519PublicKey) -> None:
        if not name or re.search(r"[\s+]", name):
            raise NoteError(f"key name {name!r}: expected a text without white space and plus sign")
        self.name = name
        self._key = key
        self._public = _ED25519 + key.public_bytes_raw()
        self.key_id = sha256(name.encode() + b"\n" + self._public).digest()[:_KEY_ID_BYTES]

    @classmethod
    def from_text(cls, text: str) -> "Verifier":
        """Read a verifier key ``name+id+key``. Raises NoteError."""
        try:
            name, key_id, encoded = text.strip().split("+", 2)
            public = base64.b64decode(encoded, validate=True)
            verifier = cls(name, Ed25519PublicKey.from_public_bytes(public[1:]))
        except (ValueError, binascii.Error) as error:
            raise NoteError(f"verifier key {text!r}: expected name+id+base64: {error}") from error
        if public[:1] != _ED25519 or verifier.key_id.hex() != key_id:
            raise NoteError(f"verifier key {text!r}: its id does not fit its key")
        return verifier

    def __str__(self) -> str:
        """The verifier key as text, for others to check our notes with."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(self._public).decode()}"

    def open(self, note: str) -> str:
        """The text of a note that this key signed. Raises NoteError."""
        match = _NOTE.fullmatch(note)
        if match is None:
            raise NoteError("signed note: expected a text, an empty line and signature lines")
        text = match["text"]
        for line in match["signatures"].splitlines():
            _, name, encoded = line.split(" ")
            if name == self.name and self._signed(text, encoded):
                return text
        raise NoteError(f"signed note: no valid signature by {self.name}")

    def checkpoint(self, note: str) -> Checkpoint:
        """Read a checkpoint signed by this key. Raises NoteError."""
        lines = self.open(note).split("\n")
        try:
            origin, size, root = lines[0], lines[1], base64.b64decode(lines[2], validate=True)
        except (IndexError, binascii.Error) as error:
            raise NoteError("checkpoint: expected origin, size and root") from error
        if origin != self.name or not re.fullmatch(r"0|[1-9][0-9]{0,18}", size) or len(root) != HASH_BYTES:
            raise NoteError(f"checkpoint of {origin!r}, size {size!r}: expected origin {self.name}, a number, 32 bytes")
        return Checkpoint(origin=origin, size=int(size), root=root, note=note)

    def _signed(self, text: str, encoded: str) -> bool:
        try:
            blob = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            return False
        if blob[:_KEY_ID_BYTES] != self.key_id:
            return False
        try:
            self._key.verify(blob[_KEY_ID_BYTES:], text.encode())
        except InvalidSignature:
            return False
        return True


class Signer(Verifier):
    """A name and its private key; signs notes."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        super().__init__(name, self._private.public_key())

    def sign(self, text: str) -> str:
        """The signed note of ``text``, whose last line ends with a line break."""
        if not text.endswith("\n") or "\n\n" in text:
            raise NoteError("note: expected lines that end with a line break, none of them empty")
        signature = base64.b64encode(self.key_id + self._private.sign(text.encode())).decode()
        return f"{text}\n\u2014 {self.name} {signature}\n"

    def sign_checkpoint(self, size: int, root: bytes) -> Checkpoint:
        """A signed checkpoint of the tree."""
        note = self.sign(f"{self.name}\n{size}\n{base64.b64encode(root).decode()}\n")
        return Checkpoint(origin=self.name, size=size, root=root, note=note)


def notes_in(document: str) -> Iterator[str]:
    """The notes that stand one after the other in a file; a last one that was cut off is left out."""
    for match in _NOTE.finditer(document):
        yield match[0]
