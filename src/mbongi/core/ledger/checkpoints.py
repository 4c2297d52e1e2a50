"""Signed checkpoints: promises about the ledger that are kept in the database and in a file outside of it."""

import base64
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from django.db import IntegrityError, transaction

from mbongi.base.clock import Clock, utc_now
from mbongi.base.config import Config
from mbongi.base.errors import ConfigError
from mbongi.base.keys import stored_key
from mbongi.core.ledger import selectors
from mbongi.core.ledger.errors import LedgerError, NoteError, TamperedError
from mbongi.core.ledger.models import LedgerCheckpoint
from mbongi.core.ledger.notes import Signer, Verifier, notes_in
from mbongi.core.ledger.values import Checkpoint


def signer_of(config: Config) -> Signer:
    """The site's signing key, made on first use. Its origin is ``<site code>.mbongi/ledger``."""
    path = config.site.data_dir / "secrets" / "ledger.key"
    text = stored_key(path, base64.b64encode(secrets.token_bytes(32)))
    try:
        return Signer(f"{config.site.code}.mbongi/ledger", base64.b64decode(text, validate=True))
    except ValueError as error:
        raise ConfigError(f"{path}: expected 32 bytes in base64; restore it from a backup") from error


def checkpoint_file(config: Config) -> Path:
    """Where checkpoints are appended outside the database; copy it elsewhere, and hold ``verify`` against the copy."""
    return config.site.data_dir / "ledger" / "checkpoints.txt"


@dataclass
class Keeper:
    """Signs checkpoints, and refuses once the ledger contradicts one that it signed before."""

    signer: Signer
    file: Path
    clock: Clock = utc_now

    def sign(self) -> Checkpoint | None:
        """Sign the present tree; None when nothing was added since the last time. Needs the whole site's scope.

        Raises TamperedError when the former checkpoint no longer holds: entries were altered or removed.
        """
        size, root = selectors.head()
        former = self.former()
        if former is not None:
            self._check(former, size)
            if former.size == size and former.root == root:
                return None
        if size == 0:
            return None
        checkpoint = self.signer.sign_checkpoint(size, root)
        try:
            with transaction.atomic():
                LedgerCheckpoint.objects.create(size=size, at=self.clock(), note=checkpoint.note)
        except IntegrityError:
            if not LedgerCheckpoint.objects.filter(size=size, note=checkpoint.note).exists():
                raise TamperedError(f"ledger: another checkpoint of {size} entries is stored; run verify") from None
        append_note(self.file, checkpoint.note)
        return checkpoint

    def former(self) -> Checkpoint | None:
        """The largest checkpoint that was signed, wherever it is kept."""
        note = selectors.last_checkpoint_note()
        found = ([] if note is None else [self.signer.checkpoint(note)]) + read_checkpoints(self.file, self.signer)
        return max(found, key=lambda one: one.size, default=None)

    def _check(self, former: Checkpoint, size: int) -> None:
        if size < former.size:
            raise TamperedError(
                f"ledger: {size} entries, but {former.size} were signed for: the last ones were removed; run verify"
            )
        try:
            root = selectors.root_at(former.size)
        except LedgerError as error:
            raise TamperedError(f"ledger: the tree of {former.size} entries is not whole: {error}") from error
        if root != former.root:
            raise TamperedError(f"ledger: the first {former.size} entries are not those signed for; run verify")


def append_note(file: Path, note: str) -> None:
    """Add a note to the file, durably and wholly: where the disk is full, the file stays as it was."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        content = (b"\n" if size else b"") + note.encode()
        if os.write(descriptor, content) != len(content):
            os.ftruncate(descriptor, size)
            raise LedgerError(f"{file}: a checkpoint could not be written whole; free some space")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_checkpoints(file: Path, verifier: Verifier) -> list[Checkpoint]:
    """The checkpoints in a file, signatures checked; none where there is no file.

    Raises NoteError naming the file when a whole note in it is not signed by the key.
    """
    if not file.is_file():
        return []
    found = []
    for note in notes_in(file.read_text(encoding="utf-8", errors="replace")):
        try:
            found.append(verifier.checkpoint(note))
        except NoteError as error:
            raise NoteError(f"{file}: {error}") from error
    return found
