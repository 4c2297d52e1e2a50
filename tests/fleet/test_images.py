"""The store of firmware images: only whole files with a trusted signature get in, none gets out while it is used."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import image_rows, image_store, images
from mbongi.fleet.errors import ImageRefusedError, NotPermittedError, UnknownImageError
from mbongi.fleet.image_file import FOLDER
from mbongi.fleet.images import NewImage
from mbongi.fleet.values import Family
from tests.fleet.firmware_site import PUBLIC, SIGNER, add_image, trust

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]
CONTENT = b"an image" * 1000
MAX = 1 << 20


def wish_of(stored, **fields):
    facts = {"family": Family.ANTMINER, "version": "FR-2", "signature": SIGNER.sign(CONTENT).hex()} | fields
    return NewImage(sha256=stored.sha256, **facts)


def put(user, tmp_path, content=CONTENT):
    return images.put_file(user, [content[:100], content[100:]], data_dir=tmp_path, bytes_max=MAX)


@pytest.mark.parametrize("shape", ["hex", "base64"])
def test_a_signed_image_is_kept_under_its_hash_with_its_signer_and_in_the_ledger(manager, tmp_path, shape):
    trust(manager)
    stored = put(manager, tmp_path)
    raw = SIGNER.sign(CONTENT)
    row = images.add_image(
        manager,
        wish_of(
            stored, signature=raw.hex() if shape == "hex" else base64.b64encode(raw).decode(), models=("Antminer S21",)
        ),
        data_dir=tmp_path,
    )

    assert stored.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert (tmp_path / FOLDER / stored.sha256).read_bytes() == CONTENT
    assert (row.key, row.trusted, row.size_bytes, row.version) == ("Site key", True, len(CONTENT), "FR-2")
    assert row.fits("antminer", "Antminer S21")
    assert not row.fits("antminer", "Antminer S19")
    assert not row.fits("bitaxe", "Antminer S21")
    kinds = [entry.action for entry in ledger.entries()]
    assert {"fleet.image_key.add", "fleet.image.add"} <= set(kinds)
    assert not [path for path in (tmp_path / FOLDER).iterdir() if path.name.startswith(".draft")]


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        ("", "no signature"),
        ("zz" * 64, "no signature"),
        ("00" * 63, "no signature"),
        ("00" * 64, "none of 1 trusted keys"),
        (Ed25519PrivateKey.from_private_bytes(bytes(32)).sign(CONTENT).hex(), "none of 1 trusted keys"),
        (SIGNER.sign(CONTENT + b"?").hex(), "none of 1 trusted keys"),
    ],
)
def test_an_image_without_a_good_signature_is_refused(manager, tmp_path, signature, words):
    trust(manager)
    stored = put(manager, tmp_path)
    with pytest.raises(ImageRefusedError, match=words):
        images.add_image(manager, wish_of(stored, signature=signature), data_dir=tmp_path)
    assert image_rows.images() == []


def test_a_key_that_is_trusted_no_more_signs_nothing_and_marks_what_it_signed(manager, tmp_path):
    key_id = trust(manager)
    row = add_image(manager, tmp_path, "FR-1")
    images.remove_key(manager, key_id, reason="lost")
    stored = put(manager, tmp_path)

    with pytest.raises(ImageRefusedError, match="Site key, which is trusted no more"):
        images.add_image(manager, wish_of(stored), data_dir=tmp_path)

    assert not image_rows.image(row.id).trusted
    with pytest.raises(UnknownImageError):
        images.remove_key(manager, key_id, reason="again")


def test_a_file_that_changes_in_the_store_is_not_entered(manager, tmp_path):
    trust(manager)
    stored = put(manager, tmp_path)
    (tmp_path / FOLDER / stored.sha256).write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(ImageRefusedError, match="has changed"):
        images.add_image(manager, wish_of(stored), data_dir=tmp_path)
    (tmp_path / FOLDER / stored.sha256).unlink()
    with pytest.raises(ImageRefusedError, match="not in the store"):
        images.add_image(manager, wish_of(stored), data_dir=tmp_path)


@pytest.mark.parametrize(("content", "words"), [(b"", "empty"), (bytes(MAX + 1), "which is the limit")])
def test_an_empty_file_or_one_above_the_limit_leaves_nothing_behind(manager, tmp_path, content, words):
    with pytest.raises(ImageRefusedError, match=words):
        images.put_file(manager, [content], data_dir=tmp_path, bytes_max=MAX)
    assert list((tmp_path / FOLDER).iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"family": Family.AVALON}, "sent no images"),
        ({"version": " "}, "version"),
        ({"version": "a\nb"}, "version"),
        ({"notes": "n" * 1001}, "too long"),
    ],
)
def test_what_an_image_is_said_to_be_is_checked(manager, tmp_path, fields, words):
    trust(manager)
    stored = put(manager, tmp_path)
    with pytest.raises(ImageRefusedError, match=words):
        images.add_image(manager, wish_of(stored, **fields), data_dir=tmp_path)


def test_the_same_image_is_entered_once_and_again_after_it_was_removed(
    manager, tmp_path, django_capture_on_commit_callbacks
):
    trust(manager)
    row = images.add_image(manager, wish_of(put(manager, tmp_path)), data_dir=tmp_path)
    with pytest.raises(ImageRefusedError, match="in the store"):
        images.add_image(manager, wish_of(put(manager, tmp_path)), data_dir=tmp_path)

    with django_capture_on_commit_callbacks(execute=True):
        images.remove_image(manager, row.id, data_dir=tmp_path, reason="old")

    assert not (tmp_path / FOLDER / row.sha256).exists()
    with pytest.raises(UnknownImageError):
        image_rows.image(row.id)
    assert images.add_image(manager, wish_of(put(manager, tmp_path)), data_dir=tmp_path).id != row.id


def test_keys_come_as_hex_base64_or_pem_and_once(manager):
    raw = bytes.fromhex(PUBLIC)
    pem = SIGNER.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert {images.key_bytes(text) for text in (PUBLIC, base64.b64encode(raw).decode(), pem)} == {raw}
    assert {images.key_bytes(text) for text in ("", "00", "xyz", PUBLIC + "00")} == {None}
    trust(manager)
    with pytest.raises(ImageRefusedError, match="already"):
        images.add_key(manager, "Again", PUBLIC, reason="x")
    with pytest.raises(ImageRefusedError, match="no name"):
        images.add_key(manager, "Bad", "00", reason="x")


def test_uploading_and_trusting_are_two_permissions(people, tmp_path):
    technician, lead, officer = (people(role) for role in (Role.TECHNICIAN, Role.SHIFT_LEAD, Role.SECURITY_OFFICER))
    with pytest.raises(NotPermittedError):
        put(technician, tmp_path)
    with pytest.raises(NotPermittedError):
        trust(lead)
    trust(officer)
    with pytest.raises(NotPermittedError):
        put(officer, tmp_path)
    assert put(lead, tmp_path).size_bytes == len(CONTENT)


def test_files_that_no_image_was_made_of_go_after_a_day(manager, tmp_path):
    import os  # noqa: PLC0415

    trust(manager)
    kept = add_image(manager, tmp_path, "FR-1")
    stored = put(manager, tmp_path)
    for name in (kept.sha256, stored.sha256):
        os.utime(tmp_path / FOLDER / name, (0, 0))

    image_store.tidy(tmp_path, {kept.sha256})

    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == [kept.sha256]
