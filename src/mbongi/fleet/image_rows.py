"""Reads of firmware images and of the keys that are trusted."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.errors import UnknownImageError
from mbongi.fleet.models import FirmwareImage, FirmwareKey
from mbongi.fleet.values import Family

if TYPE_CHECKING:
    from django.db.models import QuerySet


@dataclass(frozen=True, slots=True)
class ImageRow:
    """An image of the store. ``trusted``: its key still is; ``campaigns`` flash it or did."""

    id: int
    sha256: str
    size_bytes: int
    family: Family
    models: tuple[str, ...]
    version: str
    notes: str
    key_id: int
    key: str
    trusted: bool
    uploader: str
    uploaded_at: datetime
    campaigns: int

    def fits(self, family: str, model: str) -> bool:
        """Whether it is for a machine."""
        return family == self.family and (not self.models or model in self.models)


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key whose signatures are trusted."""

    id: int
    name: str
    public_key: str
    added_by: str
    added_at: datetime
    images: int


def flashable() -> list[Family]:
    """The families whose machines take images."""
    return [family for family in Family if adapter_of(family).abilities.upgrade]


def images() -> list[ImageRow]:
    """All images in the store, newest first."""
    return _images(FirmwareImage.objects.filter(removed_at=None))


def image(image_id: int, *, removed_too: bool = False) -> ImageRow:
    """One image. Raises UnknownImageError."""
    rows = FirmwareImage.objects.filter(pk=image_id)
    found = _images(rows if removed_too else rows.filter(removed_at=None))
    if not found:
        raise UnknownImageError(f"image {image_id}: not known, or removed")
    return found[0]


def _images(rows: "QuerySet[FirmwareImage]") -> list[ImageRow]:
    return [
        ImageRow(
            id=row.pk,
            sha256=row.sha256,
            size_bytes=row.size_bytes,
            family=Family(row.family),
            models=tuple(row.only_models),
            version=row.version,
            notes=row.notes,
            key_id=row.key_id,
            key=row.key.name,
            trusted=row.key.removed_at is None,
            uploader=str(row.uploader),
            uploaded_at=row.uploaded_at,
            campaigns=row.campaigns.count(),
        )
        for row in rows.select_related("key", "uploader")
    ]


def trusted_keys() -> list[KeyRow]:
    """The keys that are trusted, by name."""
    rows = FirmwareKey.objects.filter(removed_at=None).select_related("added_by")
    return [
        KeyRow(row.pk, row.name, row.public_key, str(row.added_by), row.added_at, row.images.count()) for row in rows
    ]


def key(key_id: int) -> KeyRow:
    """One of them. Raises UnknownImageError."""
    found = next((row for row in trusted_keys() if row.id == key_id), None)
    if found is None:
        raise UnknownImageError(f"firmware key {key_id}: not known, or removed")
    return found
