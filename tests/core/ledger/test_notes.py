"""Signed notes against the example published with Go's note package, and our own checkpoints."""

import pytest

from mbongi.core.ledger.errors import NoteError
from mbongi.core.ledger.notes import Signer, Verifier, notes_in

# Key and note of the documentation of golang.org/x/mod/sumdb/note.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = (
    GO_TEXT
    + "\n\u2014 PeterNeumann"
    + " x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
SIGNER = Signer("pilot.mbongi/ledger", bytes(range(32)))


def test_the_published_note_opens_with_the_published_key() -> None:
    assert Verifier.from_text(GO_KEY).open(GO_NOTE) == GO_TEXT
    assert str(Verifier.from_text(GO_KEY)) == GO_KEY


@pytest.mark.parametrize(
    "note",
    [GO_NOTE.replace("answer", "Answer"), GO_NOTE.replace("x08go", "x08gp"), GO_NOTE[:-2], "", GO_TEXT, "\n" + GO_NOTE],
)
def test_an_altered_note_does_not_open(note: str) -> None:
    with pytest.raises(NoteError):
        Verifier.from_text(GO_KEY).open(note)


def test_a_checkpoint_is_three_lines_and_reads_back() -> None:
    checkpoint = SIGNER.sign_checkpoint(7, b"\7" * 32)
    lines = checkpoint.note.split("\n")
    assert lines[:4] == ["pilot.mbongi/ledger", "7", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=", ""]
    assert lines[4].startswith("\u2014 pilot.mbongi/ledger ")
    assert Verifier.from_text(str(SIGNER)).checkpoint(checkpoint.note) == checkpoint


def test_a_checkpoint_of_another_origin_is_refused() -> None:
    other = Signer("other/ledger", bytes(32)).sign_checkpoint(7, b"\7" * 32)
    with pytest.raises(NoteError, match="no valid signature"):
        SIGNER.checkpoint(other.note)
    disguised = SIGNER.sign("other/ledger\n7\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n")
    with pytest.raises(NoteError, match="expected origin"):
        SIGNER.checkpoint(disguised)


@pytest.mark.parametrize("size", ["-1", "01", "x", "99999999999999999999"])
def test_a_checkpoint_with_another_size_is_refused(size: str) -> None:
    note = SIGNER.sign(f"{SIGNER.name}\n{size}\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n")
    with pytest.raises(NoteError):
        SIGNER.checkpoint(note)


def test_notes_are_found_one_after_the_other_and_a_torn_last_one_is_left_out() -> None:
    first, second = SIGNER.sign_checkpoint(1, b"\1" * 32).note, SIGNER.sign_checkpoint(2, b"\2" * 32).note
    assert list(notes_in(first + "\n" + second)) == [first, second]
    assert list(notes_in(first + "\n" + second[:40])) == [first]


@pytest.mark.parametrize("text", ["no line end", "an\n\nempty line\n"])
def test_a_text_that_is_no_note_is_not_signed(text: str) -> None:
    with pytest.raises(NoteError):
        SIGNER.sign(text)
