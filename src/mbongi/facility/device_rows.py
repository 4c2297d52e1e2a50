"""Reads of the devices on record."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db.models import Count, Max

from mbongi.base.errors import ConfigError
from mbongi.base.log import get_log
from mbongi.facility.device_box import unseal
from mbongi.facility.errors import UnknownDeviceError
from mbongi.facility.models import Device
from mbongi.facility.ports import Credentials, DeviceTarget
from mbongi.facility.values import Protocol

log = get_log(__name__)


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device as people see it: whether it has a secret, and never which."""

    id: int
    tag: str
    protocol: Protocol
    host: str
    port: int
    selector: str
    map_name: str
    period_s: float
    timeout_s: float
    user: str
    has_secret: bool
    is_enabled: bool
    note: str
    changed_at: datetime


def own_maps() -> Path:
    """The folder of the site's own maps; it need not be there."""
    folder: Path = settings.CONFIG.site.data_dir / "maps"
    return folder


def devices() -> list[DeviceRow]:
    """All devices by tag."""
    return [_row(row) for row in Device.objects.order_by("tag", "protocol")]


def device(device_id: int) -> DeviceRow:
    """One device. Raises UnknownDeviceError."""
    row = Device.objects.filter(pk=device_id).first()
    if row is None:
        raise UnknownDeviceError(f"device {device_id}: not known")
    return _row(row)


def version() -> tuple[int, datetime | None]:
    """What changes whenever any record of a device does."""
    found = Device.objects.aggregate(count=Count("pk"), newest=Max("changed_at"))
    return found["count"], found["newest"]


def targets() -> list[DeviceTarget]:
    """The enabled devices as they are asked. One whose secret cannot be decrypted is left out, and said."""
    found = []
    for row in Device.objects.filter(is_enabled=True).order_by("pk"):
        try:
            known = unseal(row.tag, row.protocol, row.user, row.sealed)
        except ConfigError as error:
            log.warning("device_secret_unreadable", tag=row.tag, reason=str(error))
            continue
        found.append(target_of(_row(row), known))
    return found


def target_of(row: DeviceRow, known: Credentials) -> DeviceTarget:
    """A device as it is asked."""
    return DeviceTarget(
        tag=row.tag,
        protocol=row.protocol,
        host=row.host,
        port=row.port,
        selector=row.selector,
        map_name=row.map_name,
        period_s=row.period_s,
        timeout_s=row.timeout_s,
        credentials=known,
        id=row.id,
        maps=own_maps(),
    )


def _row(row: Device) -> DeviceRow:
    return DeviceRow(
        id=row.pk,
        tag=row.tag,
        protocol=Protocol(row.protocol),
        host=row.host,
        port=row.port,
        selector=row.selector,
        map_name=row.map_name,
        period_s=row.period_s,
        timeout_s=row.timeout_s,
        user=row.user,
        has_secret=bool(row.sealed),
        is_enabled=row.is_enabled,
        note=row.note,
        changed_at=row.changed_at,
    )
