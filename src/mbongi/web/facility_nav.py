"""The plant's own navigation, above every page of the plant: a new page is one row of ``PAGES``."""

from enum import Enum
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

from mbongi.core.identity.values import Permission
from mbongi.web.fleet_nav import FleetNav, FleetPage, nav_of

if TYPE_CHECKING:
    from mbongi.core.identity.models import User


class Section(Enum):
    """What pages have in common; they stand together under this heading."""

    PLANT = _("Plant")
    POWER = _("Power path")


PAGES = (
    FleetPage(Section.PLANT, "/facility/", _("Inventory"), Permission.FACILITY_VIEW),
    FleetPage(Section.PLANT, "/facility/import/", _("Import and export"), Permission.FACILITY_VIEW),
    FleetPage(Section.PLANT, "/facility/plan/", _("Floor plan"), Permission.FACILITY_VIEW),
    FleetPage(Section.PLANT, "/facility/devices/", _("Devices"), Permission.FACILITY_VIEW),
    FleetPage(Section.POWER, "/facility/one-line/", _("One-line diagram"), Permission.FACILITY_VIEW),
    FleetPage(Section.POWER, "/facility/what-if/", _("What if"), Permission.FACILITY_VIEW),
)


def facility_nav(path: str, user: "User") -> FleetNav | None:
    """The navigation on the page at ``path``; None on pages that are not the plant's."""
    return nav_of(PAGES, Section, path, user, name="facility", label=_("Plant"), icon="plant")
