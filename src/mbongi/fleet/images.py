"""The store of firmware images: who may be trusted, what was uploaded, and what is taken away again.

An image is entered only with a signature of the whole file by a key on the site's list. Uploading and trusting are two
permissions, and a campaign needs two people besides: firmware decides who is paid.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.fleet import image_store
from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.errors import ImageRefusedError, NotPermittedError, UnknownImageError
from mbongi.fleet.groups import checked_reason
from mbongi.fleet.image_rows import ImageRow, KeyRow, image, key
from mbongi.fleet.image_store import Stored
from mbongi.fleet.models import Campaign, FirmwareImage, FirmwareKey
from mbongi.fleet.values import Family

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

KEYS_MAX, MODELS_MAX = 50, 100
_KEY_BYTES, _SIGNATURE_BYTES = 32, 64
_PEM_HEAD = bytes.fromhex("302a300506032b6570032100")
"""What stands before the 32 bytes of an Ed25519 key in its DER form (RFC 8410)."""
_VERSION = re.compile(r"[!-~][ -~]{0,119}")


class NewImage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An image to be entered, of a file that is in the store. ``signature``: base64 or hex, of the whole file.

    ``version`` as a machine states it that runs the image; ``models`` empty: all of the family.
    """

    sha256: str
    family: Family
    version: str
    signature: str
    models: tuple[str, ...] = ()
    notes: str = ""


def put_file(user: "User", pieces: Iterable[bytes], *, data_dir: Path, bytes_max: int) -> Stored:
    """Take an upload into the store. It goes again within a day unless an image is entered for it.

    Raises NotPermittedError, ImageRefusedError.
    """
    _require(user, Permission.FIRMWARE_MANAGE, "upload a firmware image")
    image_store.tidy(data_dir, set(FirmwareImage.objects.filter(removed_at=None).values_list("sha256", flat=True)))
    return image_store.keep(data_dir, pieces, bytes_max=bytes_max)


def add_image(user: "User", wish: NewImage, *, data_dir: Path) -> ImageRow:
    """Enter an image whose file was uploaded. Raises NotPermittedError, ImageRefusedError saying what is wrong with it.

    What is checked: the family takes images, the file is whole, its signature is by a key on the list.
    """
    what = f"enter image {wish.sha256[:12]}"
    _require(user, Permission.FIRMWARE_MANAGE, what)
    _check_words(wish, what)
    found = image_store.stored(data_dir, wish.sha256)
    signature = _bytes(wish.signature, _SIGNATURE_BYTES)
    if signature is None:
        raise ImageRefusedError(
            f"{what}: no signature of {_SIGNATURE_BYTES} bytes as base64 or hex",
            _("The image has no signature: 64 bytes as base64 or hexadecimal are expected."),
        )
    signer = _signer(data_dir, wish.sha256, signature, what)
    with transaction.atomic():
        row = FirmwareImage(
            sha256=found.sha256,
            size_bytes=found.size_bytes,
            family=wish.family,
            only_models=sorted({model.strip() for model in wish.models if model.strip()}),
            version=wish.version.strip(),
            notes=wish.notes.strip(),
            signature=signature.hex(),
            key=signer,
            uploader=user,
            uploaded_at=utc_now(),
        )
        try:
            with transaction.atomic():
                row.save()
        except IntegrityError as error:
            raise ImageRefusedError(f"{what}: it is in the store", _("This image is in the store already.")) from error
        after = {
            "sha256": row.sha256,
            "size_bytes": row.size_bytes,
            "family": row.family,
            "models": row.only_models,
            "version": row.version,
            "key": signer.name,
        }
        ledger.append([NewEntry(user.actor, "fleet.image.add", f"image:{row.pk}", wish.notes or "-", None, after)])
    return image(row.pk)


def _signer(data_dir: Path, sha256: str, signature: bytes, what: str) -> FirmwareKey:
    trusted = list(FirmwareKey.objects.filter(removed_at=None))
    for row in trusted:
        if image_store.is_signed(data_dir, sha256, signature, bytes.fromhex(row.public_key)):
            return row
    for row in FirmwareKey.objects.exclude(removed_at=None):
        if image_store.is_signed(data_dir, sha256, signature, bytes.fromhex(row.public_key)):
            raise ImageRefusedError(
                f"{what}: signed by {row.name}, which is trusted no more",
                _("The image is signed by %(name)s, whose key is trusted no more.") % {"name": row.name},
            )
    raise ImageRefusedError(
        f"{what}: its signature is by none of {len(trusted)} trusted keys, or the file is not the one that was signed",
        _("The signature is by none of the trusted keys, or the file is not the one that was signed."),
    )


def _check_words(wish: NewImage, what: str) -> None:
    if not adapter_of(wish.family).abilities.upgrade:
        raise ImageRefusedError(
            f"{what}: machines of family {wish.family} are sent no images",
            _("Machines of this family are sent no images."),
        )
    if not _VERSION.fullmatch(wish.version.strip()):
        raise ImageRefusedError(
            f"{what}: version {wish.version!r}: expected 1 to 120 plain characters",
            _("State the version as machines state it: 1 to 120 plain characters."),
        )
    if len(wish.models) > MODELS_MAX or any(len(model) > 80 for model in wish.models) or len(wish.notes) > 1000:
        raise ImageRefusedError(
            f"{what}: models or notes are too long", _("The list of models or the notes are too long.")
        )
    if not re.fullmatch(r"[0-9a-f]{64}", wish.sha256):
        raise ImageRefusedError(f"{what}: no SHA-256", _("The form cannot be used; load the page again."))


@transaction.atomic
def remove_image(user: "User", image_id: int, *, data_dir: Path, reason: str) -> None:
    """Take an image out of the store, unless a campaign that is not over flashes it or may need it to roll back.

    Raises NotPermittedError, UnknownImageError, ImageRefusedError.
    """
    what = f"remove image {image_id}"
    _require(user, Permission.FIRMWARE_MANAGE, what)
    reason = checked_reason(reason, what)
    row = FirmwareImage.objects.select_for_update().filter(pk=image_id, removed_at=None).first()
    if row is None:
        raise UnknownImageError(f"image {image_id}: not known, or removed")
    open_ones = Campaign.objects.exclude(operation__state__in=["done", "rolled_back", "cancelled"])
    # As ``campaigns.states`` reads versions, so that what a roll-back would flash stays.
    runs_it = Q(machines__previous_version=row.version) | Q(machines__previous_version__endswith=f" {row.version}")
    if open_ones.filter(image=row).exists() or open_ones.filter(runs_it).exists():
        raise ImageRefusedError(f"{what}: a campaign uses it", _("A campaign uses this image."))
    row.removed_at = utc_now()
    row.save(update_fields=["removed_at"])
    before = {"sha256": row.sha256, "version": row.version}
    ledger.append([NewEntry(user.actor, "fleet.image.remove", f"image:{row.pk}", reason, before, None)])
    transaction.on_commit(lambda: image_store.drop(data_dir, row.sha256))


@transaction.atomic
def add_key(user: "User", name: str, public_key: str, *, reason: str) -> KeyRow:
    """Trust the signatures of a key: 32 bytes as hex or base64, or the PEM that programs write.

    Raises NotPermittedError, ImageRefusedError.
    """
    what = f"trust key {name!r}"
    _require(user, Permission.FIRMWARE_TRUST, what)
    reason, name = checked_reason(reason, what), name.strip()
    found = key_bytes(public_key)
    if not 1 <= len(name) <= 60 or found is None:
        raise ImageRefusedError(
            f"{what}: no name of 1 to 60 characters, or no Ed25519 public key of 32 bytes",
            _("Give a name, and an Ed25519 public key: 32 bytes as hexadecimal or base64, or PEM."),
        )
    if FirmwareKey.objects.filter(removed_at=None).count() >= KEYS_MAX:
        raise ImageRefusedError(
            f"{what}: {KEYS_MAX} keys are trusted", _("Too many keys are trusted; remove one first.")
        )
    if FirmwareKey.objects.filter(removed_at=None, public_key=found.hex()).exists():
        raise ImageRefusedError(f"{what}: it is trusted already", _("This key is trusted already."))
    row = FirmwareKey.objects.create(name=name, public_key=found.hex(), added_by=user, added_at=utc_now())
    after = {"name": name, "public_key": row.public_key}
    ledger.append([NewEntry(user.actor, "fleet.image_key.add", f"image_key:{row.pk}", reason, None, after)])
    return key(row.pk)


@transaction.atomic
def remove_key(user: "User", key_id: int, *, reason: str) -> None:
    """Trust a key no more: its images stay, and no new campaign flashes them.

    Raises NotPermittedError, UnknownImageError.
    """
    what = f"distrust key {key_id}"
    _require(user, Permission.FIRMWARE_TRUST, what)
    reason = checked_reason(reason, what)
    row = FirmwareKey.objects.select_for_update().filter(pk=key_id, removed_at=None).first()
    if row is None:
        raise UnknownImageError(f"firmware key {key_id}: not known, or removed")
    row.removed_at = utc_now()
    row.save(update_fields=["removed_at"])
    before = {"name": row.name, "public_key": row.public_key}
    ledger.append([NewEntry(user.actor, "fleet.image_key.remove", f"image_key:{row.pk}", reason, before, None)])


def key_bytes(text: str) -> bytes | None:
    """A public key's 32 bytes out of hex, base64 or PEM; None where it is none."""
    lines = [line.strip() for line in text.strip().splitlines() if "-----" not in line]
    joined = "".join(lines)
    der = _bytes(joined, len(_PEM_HEAD) + _KEY_BYTES)
    if der is not None and der.startswith(_PEM_HEAD):
        return der[len(_PEM_HEAD) :]
    return _bytes(joined, _KEY_BYTES)


def _bytes(text: str, length: int) -> bytes | None:
    text = "".join(text.split())
    readers: Sequence[tuple[int, bool]] = ((2 * length, True), (4 * -(-length // 3), False))
    for size, is_hex in readers:
        if len(text) != size:
            continue
        try:
            found = bytes.fromhex(text) if is_hex else base64.b64decode(text, validate=True)
        except (ValueError, binascii.Error):
            continue
        if len(found) == length:
            return found
    return None


def _require(user: "User", permission: Permission, what: str) -> None:
    if not user.may(permission):
        raise NotPermittedError(f"{user.actor}: {what}: the role {user.role} does not permit it")
