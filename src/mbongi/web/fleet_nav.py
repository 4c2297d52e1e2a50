"""The fleet's own navigation, above every page of the fleet: a new page is one row of ``PAGES``.

The plant's (``facility_nav``) is made alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mbongi.core.identity.values import Permission

if TYPE_CHECKING:
    from mbongi.core.identity.models import User


class Section(Enum):
    """What pages have in common; they stand together under this heading."""

    MACHINES = _("Machines")
    CHANGES = _("Changes")
    WATCH = _("Watch")


@dataclass(frozen=True, slots=True)
class FleetPage:
    """One entry, and the permission without which nobody sees it.

    It is the present one on every page whose address begins with ``url``, unless a longer one fits, or with one of
    ``also``. ``is_ours`` False: it leads out of the fleet, to a page with a navigation of its own.
    """

    section: Enum
    url: str
    label: Promise
    permission: Permission
    is_ours: bool = True
    also: tuple[str, ...] = ()

    def fits(self, path: str) -> bool:
        """Whether the page at ``path`` belongs to this entry."""
        return self.is_ours and path.startswith((self.url, *self.also))


PAGES = (
    FleetPage(Section.MACHINES, "/machines/", _("List"), Permission.MACHINE_VIEW),
    FleetPage(Section.MACHINES, "/fleet/groups/", _("Groups"), Permission.MACHINE_VIEW, also=("/fleet/profiles/",)),
    FleetPage(Section.MACHINES, "/fleet/onboarding/", _("Onboarding"), Permission.MACHINE_PLACE),
    FleetPage(Section.MACHINES, "/floor/", _("Floor"), Permission.MACHINE_VIEW, is_ours=False),
    FleetPage(Section.CHANGES, "/fleet/operations/", _("Operations"), Permission.MACHINE_VIEW),
    FleetPage(Section.CHANGES, "/fleet/curtailment/", _("Curtailment"), Permission.CURTAIL_VIEW),
    FleetPage(Section.CHANGES, "/fleet/campaigns/", _("Campaigns"), Permission.FIRMWARE_VIEW),
    FleetPage(Section.CHANGES, "/fleet/firmware/", _("Firmware"), Permission.FIRMWARE_VIEW),
    FleetPage(Section.WATCH, "/hosting/", _("Hosting"), Permission.HOSTING_VIEW, is_ours=False),
    FleetPage(Section.WATCH, "/fleet/drift/", _("Drift"), Permission.MACHINE_VIEW),
    FleetPage(Section.WATCH, "/fleet/healing/", _("Healing"), Permission.HEALING_VIEW),
    FleetPage(Section.WATCH, "/workshop/", _("Work orders"), Permission.WORK_VIEW, is_ours=False),
    FleetPage(Section.WATCH, "/fleet/pollers/", _("Pollers"), Permission.MACHINE_CONTROL),
)


@dataclass(frozen=True, slots=True)
class FleetNav:
    """What a reader sees of it: the sections with their entries, and the present one."""

    here: FleetPage
    sections: list[tuple[Promise, list[FleetPage]]]
    name: str
    label: Promise
    icon: str


def fleet_nav(path: str, user: "User") -> FleetNav | None:
    """The navigation on the page at ``path``; None on pages that are not the fleet's."""
    return nav_of(PAGES, Section, path, user, name="machines", label=_("Fleet"), icon="machines")


def nav_of(
    pages: Sequence[FleetPage], kinds: type[Enum], path: str, user: "User", *, name: str, label: Promise, icon: str
) -> FleetNav | None:
    """A navigation of ``pages`` under the headings of ``kinds``, on the page at ``path``, if that is one of them.

    ``name`` is its place in the main navigation; ``label`` and ``icon`` stand on its menu on a phone.
    """
    fitting = [page for page in pages if page.fits(path)]
    if not fitting:
        return None
    seen = [page for page in pages if user.may(page.permission)]
    sections = [(section.value, [page for page in seen if page.section is section]) for section in kinds]
    here = max(fitting, key=lambda page: len(page.url))
    return FleetNav(here, [(heading, under) for heading, under in sections if under], name, label, icon)
