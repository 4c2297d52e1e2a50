"""Enters the virtual site's plant, inventory and devices, where it is what runs and nobody has entered anything yet."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgspec

from mbongi.base.config import Config
from mbongi.base.log import get_log
from mbongi.core.identity.values import Permission, Role
from mbongi.facility.rules.inventory_files import Given, parts
from mbongi.facility.values import Inventory, Protocol
from mbongi.run.up import twin_ranges
from mbongi.twin.errors import TwinConfigError
from mbongi.twin.plant.design import designed

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

log = get_log(__name__)
REASON = "The virtual site's plant, as it is built"
LINES_MAX = 20_000
"""A virtual site of so many elements and links, some five thousand machines, is entered; a larger one is left out."""


@dataclass(frozen=True, slots=True)
class Builder:
    """Who enters it, as the ledger names it."""

    actor: str = "system:virtual-site"
    role: str = Role.SITE_MANAGER
    is_active: bool = True

    def may(self, permission: Permission) -> bool:
        """The plant's inventory and devices, nothing else."""
        return permission is Permission.FACILITY_EDIT


def is_virtual(config: Config) -> bool:
    """Whether the machines are the virtual site's, and it has a plant."""
    if config.twin.plant_port == 0:
        return False
    try:
        return set(config.fleet.ranges) == set(twin_ranges(config.twin))
    except TwinConfigError:
        return False


def enter(config: Config) -> bool:
    """Enter it, all or nothing; False where there is something already, or the site is a real one.

    Django must be set up.
    """
    from django.db import transaction  # noqa: PLC0415

    from mbongi.facility import device_rows, devices, inventory, selectors  # noqa: PLC0415
    from mbongi.facility.rules.devices import DeviceDraft  # noqa: PLC0415

    if not is_virtual(config) or device_rows.devices() or any(parts(selectors.inventory()).values()):
        return False
    document = designed(config.twin).document()
    given = given_of(document)
    if sum(map(len, given.values())) > LINES_MAX:
        log.info("virtual_plant_too_large_to_enter", lines_max=LINES_MAX)
        return False
    builder = cast("User", Builder())
    drafts = [DeviceDraft(**{**row, "protocol": Protocol(row["protocol"])}) for row in document["devices"]]
    with transaction.atomic():
        inventory.enter(builder, given, reason=REASON)
        for draft in drafts:
            devices.save_device(builder, draft, reason=REASON)
    log.info("virtual_plant_entered", elements=len(document["elements"]), devices=len(document["devices"]))
    return True


def given_of(document: dict[str, Any]) -> dict[str, list[Given]]:
    """The inventory's lines, as if they were read from files."""
    whole = msgspec.convert(document, Inventory, strict=False)
    return {
        file: [Given(line=number, values=msgspec.structs.asdict(row)) for number, row in enumerate(rows, start=2)]
        for file, rows in parts(whole).items()
    }
