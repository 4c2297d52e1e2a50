"""Figures as people read them: unit, thousands, decimals and age in their language. None is an en dash."""

import math
from datetime import datetime

from django.conf import settings
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mbongi.base.clock import utc_now

NOTHING = "–"
NARROW_SPACE = "\u202f"
"""Keeps figure and unit on one line."""

DECIMALS_MAX = 9
STALE_POLLS = 4.5
"""A reading older than so many intervals of the fast tier is shown as stale."""

_STEPS = {
    "TH/s": ((1e6, "EH/s"), (1e3, "PH/s"), (1.0, "TH/s"), (1e-3, "GH/s")),
    "W": ((1e6, "MW"), (1e3, "kW"), (1.0, "W")),
    "H/s": (
        *((1e18, "EH/s"), (1e15, "PH/s"), (1e12, "TH/s"), (1e9, "GH/s"), (1e6, "MH/s"), (1e3, "kH/s")),
        (1.0, "H/s"),
    ),
    "H": (
        *((1e21, "ZH"), (1e18, "EH"), (1e15, "PH"), (1e12, "TH"), (1e9, "GH"), (1e6, "MH"), (1e3, "kH")),
        (1.0, "H"),
    ),
    "": ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")),
}


def stale_s() -> float:
    """The age in seconds from which a reading is not believed any more."""
    return float(max(STALE_POLLS * settings.CONFIG.fleet.fast_s, 10.0))


def known(value: object) -> float | None:
    """The number, or None where it is missing or not finite."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def number(value: object, decimals: int = 0) -> str:
    """A number with the reader's separators."""
    figure = known(value)
    if figure is None:
        return NOTHING
    # -0.0 and small negatives must not be shown as "-0".
    text: str = formats.number_format(round(figure, decimals) + 0.0, decimals, force_grouping=True)
    return text


def scaled(value: object, unit: str) -> tuple[str, str]:
    """A figure in the step of its unit that reads best, such as (``4,61``, ``PH/s``)."""
    figure = known(value)
    if figure is None:
        return NOTHING, unit
    if not unit and 0 < abs(figure) < _POWER_BELOW:
        return _power(figure), ""
    steps = _STEPS.get(unit, ((1.0, unit),))
    size, name = next((step for step in steps if abs(figure) >= step[0]), steps[-1])
    shown = figure / size
    return number(shown, 0 if unit == "W" and name == "W" else _decimals(shown)), name


def _power(figure: float) -> str:
    exponent = math.floor(math.log10(abs(figure)))
    return f"{number(figure / 10.0**exponent, 1)}×10{str(exponent).translate(_RAISED)}"


def _decimals(shown: float) -> int:
    """Two behind the point, fewer for large figures, and of small ones as many as show two digits."""
    if 0 < abs(shown) < 0.1:
        return min(1 - math.floor(math.log10(abs(shown))), DECIMALS_MAX)
    return 0 if abs(shown) >= 1000 else 1 if abs(shown) >= 100 else 2


_POWER_BELOW = 0.001
"""A smaller number without a unit is shown as a power of ten: zeros are hard to count."""
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
BTC_SAT = 100_000_000
_BTC_FROM_SAT = 1_000_000


def amount(sat: object) -> tuple[str, str]:
    """An amount of satoshis and its unit: small ones in satoshis, large ones in bitcoins to the last satoshi."""
    if not isinstance(sat, int):
        return NOTHING, "sat"
    if abs(sat) < _BTC_FROM_SAT:
        return number(sat), "sat"
    whole, part = divmod(abs(sat), BTC_SAT)
    sign = "−" if sat < 0 else ""
    separator = formats.get_format("DECIMAL_SEPARATOR")
    return f"{sign}{number(whole)}{separator}{part:08d}".rstrip("0").rstrip(separator), "BTC"


def with_unit(value: object, unit: str, decimals: int = 0) -> str:
    """A figure and its unit, such as ``63 °C``."""
    if known(value) is None:
        return NOTHING
    return f"{number(value, decimals)}{NARROW_SPACE}{unit}" if unit else number(value, decimals)


def span(seconds: float) -> str:
    """A length of time in its largest whole unit, such as ``3 min``."""
    seconds = max(0.0, seconds)
    if seconds < 90:
        return _("%(count)d s") % {"count": seconds}
    if seconds < 90 * 60:
        return _("%(count)d min") % {"count": seconds // 60}
    if seconds < 36 * 3600:
        return _("%(count)d h") % {"count": seconds // 3600}
    days = int(seconds // 86400)
    return ngettext("%(count)d day", "%(count)d days", days) % {"count": days}


def age_of(moment: datetime | None, now: datetime | None = None) -> float | None:
    """Seconds since the moment; None where there is none. A clock that runs ahead counts as no age."""
    if moment is None:
        return None
    return max(0.0, ((now or utc_now()) - moment).total_seconds())


def moment_text(moment: datetime) -> str:
    """Date and time to the second in the site's time zone, such as ``2026-03-01 14:05:09``."""
    return timezone.localtime(moment).strftime("%Y-%m-%d %H:%M:%S")
