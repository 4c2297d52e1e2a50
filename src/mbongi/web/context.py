"""What every page needs besides its own content: navigation, theme, words for the scripts."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.core.identity.wording import role_label
from mbongi.facility import alarm_rows
from mbongi.fleet import selectors, wording
from mbongi.fleet.values import MachineState
from mbongi.web import figures
from mbongi.web.facility_nav import facility_nav
from mbongi.web.fleet_nav import fleet_nav
from mbongi.web.troubles import troubles

THEMES = ("auto", "light", "dark")
THEME_COOKIE = "mbongi_theme"


@dataclass(frozen=True, slots=True)
class Link:
    """One entry of the navigation. ``key`` is pressed after ``g``."""

    name: str
    url: str
    label: Promise
    icon: str
    permission: Permission
    key: str


LINKS = (
    Link("overview", "/", gettext_lazy("Overview"), "overview", Permission.MACHINE_VIEW, "o"),
    Link("floor", "/floor/", gettext_lazy("Floor"), "floor", Permission.MACHINE_VIEW, "f"),
    Link("machines", "/machines/", gettext_lazy("Machines"), "machines", Permission.MACHINE_VIEW, "m"),
    Link("facility", "/facility/", gettext_lazy("Plant"), "plant", Permission.FACILITY_VIEW, "d"),
    Link("alarms", "/alarms/", gettext_lazy("Alarms"), "alarm", Permission.FACILITY_VIEW, "n"),
    Link("pool", "/pool/", gettext_lazy("Pool"), "pool", Permission.POOL_VIEW, "b"),
    Link("energy", "/energy/", gettext_lazy("Energy"), "energy", Permission.ENERGY_VIEW, "y"),
    Link("work", "/workshop/", gettext_lazy("Work orders"), "work", Permission.WORK_VIEW, "w"),
    Link("procedures", "/procedures/", gettext_lazy("Procedures"), "ledger", Permission.FACILITY_VIEW, "r"),
    Link("hosting", "/hosting/", gettext_lazy("Hosting"), "hosting", Permission.HOSTING_VIEW, "h"),
    Link("events", "/events/", gettext_lazy("Events"), "events", Permission.MACHINE_VIEW, "e"),
    Link("ledger", "/ledger/", gettext_lazy("Ledger"), "ledger", Permission.LEDGER_VIEW, "l"),
    Link("people", "/people/", gettext_lazy("People"), "people", Permission.ACCOUNT_VIEW, "p"),
    Link("tokens", "/tokens/", gettext_lazy("API tokens"), "key", Permission.API_TOKEN_OWN, "t"),
    Link("docs", "/api/v1/docs/", gettext_lazy("API guide"), "api", Permission.MACHINE_VIEW, "a"),
)
FIRST_LINKS = 11
"""Links of the daily work; the others stand below a line."""
BAR_LINKS = ("overview", "floor", "machines", "events")
"""Those at the bottom of a phone; all others are behind "More" there."""


def shell(request: HttpRequest) -> dict[str, Any]:
    """The context of the base template. Nothing of it is read for answers that do not show a page."""
    content = plain_shell(request)
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return content
    links = [link for link in LINKS if user.may(link.permission)]
    nav = fleet_nav(request.path, user) or facility_nav(request.path, user)
    return content | {
        "fleet_nav": nav,
        # A page that names its place in the main navigation itself is asked last, and so has its way.
        "here": nav.name if nav else "",
        "links": links,
        "daily_links": [link for link in links if link in LINKS[:FIRST_LINKS]],
        "other_links": [link for link in links if link not in LINKS[:FIRST_LINKS]],
        "bar_links": [link for link in links if link.name in BAR_LINKS],
        "more_links": [link for link in links if link.name not in BAR_LINKS],
        "role_label": role_label(user.role),
        "initials": initials(user.name),
        "alarm_count": lambda: sum(selectors.open_alarm_counts().values()) if user.may(Permission.MACHINE_VIEW) else 0,
        "plant_alarm_count": lambda: alarm_rows.counts().unanswered if user.may(Permission.FACILITY_VIEW) else 0,
        "words": script_words(),
        "troubles": lambda: site_troubles() if user.tenant_id is None else [],
        "may_control": user.may(Permission.MACHINE_CONTROL),
    }


def site_troubles() -> list[str]:
    """What is wrong with the site itself, for its own people."""
    return troubles(settings.CONFIG.site.data_dir, utc_now())


def plain_shell(request: HttpRequest) -> dict[str, Any]:
    """What even an error page needs; reads no database."""
    theme, site = request.COOKIES.get(THEME_COOKIE, "auto"), settings.CONFIG.site
    return {
        "site_name": site.name if site.name != "Mbongi" else site.code,
        "theme": theme if theme in THEMES else "auto",
        "languages": settings.LANGUAGES,
    }


def initials(name: str) -> str:
    """One or two letters that stand for a person."""
    parts = name.split()
    return "".join(part[0] for part in (parts[:1] + parts[-1:] if len(parts) > 1 else parts)).upper()


def script_words() -> dict[str, Any]:
    """The words that scripts need, in the reader's language."""
    return {
        "states": {str(int(state)): str(wording.STATES[state]) for state in MachineState},
        "stateNames": {str(int(state)): state.word for state in MachineState},
        "severities": {severity.value: str(word) for severity, word in wording.SEVERITIES.items()},
        "timezone": settings.CONFIG.site.timezone,
        "staleS": figures.stale_s(),
        "live": _("Live"),
        "lost": _("Connection lost"),
        "connecting": _("Connecting"),
        "seconds": _("{n} s"),
        "minutes": _("{n} min"),
        "hours": _("{n} h"),
        "days": _("{n} d"),
        "ago": _("{age} ago"),
        "since": _("since {time}"),
        "noReading": _("No reading yet"),
        "noData": _("No figures in this period"),
        "failed": _("This could not be loaded."),
        "retry": _("Try again"),
        "copied": _("Copied"),
        "machines": _("{n} machines"),
        "rack": _("Rack {n}"),
        "hall": _("Hall {n}"),
        "nowhere": _("Position open"),
        "asks": _("{machine}, {state}, {value}"),
        "themes": {"auto": _("Theme: as the device"), "light": _("Theme: light"), "dark": _("Theme: dark")},
    }
