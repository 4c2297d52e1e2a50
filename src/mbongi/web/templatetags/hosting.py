"""How templates draw what only hosting has: uptimes, strips of days, hash-hours against what was promised."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import template
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from mbongi.fleet import hosting_wording as wording
from mbongi.fleet.rules.hosting_bill import Sums
from mbongi.fleet.rules.hosting_terms import EXCUSED, CurtailmentClass, ExcuseClass, Terms, currencies
from mbongi.fleet.values import ProfileState
from mbongi.web import figures
from mbongi.web.hosting_sight import DaySight

register = template.Library()

STYLES = {
    ProfileState.DRAFT: "neutral",
    ProfileState.PROPOSED: "warning",
    ProfileState.ACTIVE: "mining",
    ProfileState.SUPERSEDED: "neutral",
    ProfileState.REFUSED: "critical",
}
_ICONS = {"neutral": "v-info", "warning": "v-warning", "mining": "s-mining", "critical": "v-critical"}
_LEVELS = ((999_000, 5), (990_000, 4), (950_000, 3), (800_000, 2))
CELL, GAP = 18, 3
CLASS_STYLES = {
    ExcuseClass.CUSTOMER: "sleeping",
    ExcuseClass.GRID: "starting",
    ExcuseClass.FORCE_MAJEURE: "starting",
    ExcuseClass.CURTAILMENT: "sleeping",
    ExcuseClass.MAINTENANCE: "off",
}


@register.filter
def ppm(value: int | None) -> str:
    """Millionths as percent with three decimals, rounded down: 99.499 % never reads as 99.5 %."""
    if value is None:
        return figures.NOTHING
    return figures.with_unit(float(Decimal(value // 10) / 1000), "%", 3)


@register.filter
def ppm_short(value: int | None) -> str:
    """Millionths as percent, with as many decimals as there are."""
    if value is None:
        return figures.NOTHING
    share = (Decimal(value) / 10_000).normalize()
    exponent = share.as_tuple().exponent
    return figures.with_unit(float(share), "%", max(0, -int(exponent)))


@register.filter
def thousandths(value: int | None, decimals: int = 0) -> str:
    """Thousandths as a figure."""
    return figures.NOTHING if value is None else figures.number(value / 1000, decimals)


@register.filter
def hours_of(seconds: int | None) -> str:
    """Seconds as hours."""
    return figures.NOTHING if seconds is None else figures.with_unit(seconds / 3600, "h", 1)


@register.simple_tag
def money(minor: int | None, currency: str) -> str:
    """An amount of minor units with its currency."""
    if minor is None:
        return figures.NOTHING
    decimals = currencies()[currency]
    return figures.with_unit(minor / 10**decimals, currency, decimals)


@register.simple_tag
def decision_chip(state: ProfileState) -> SafeString:
    """Whether something is proposed, approved or refused, as shape, colour and word."""
    style = STYLES[state]
    return format_html(
        '<span class="chip s-{}"><svg aria-hidden="true"><use href="#i-{}"/></svg>{}</span>',
        style,
        _ICONS[style],
        wording.STATES[state],
    )


@register.filter
def excuse_word(klass: ExcuseClass | str) -> str:
    """A class of excuses as a word."""
    return str(wording.CLASSES[ExcuseClass(klass)])


@register.simple_tag
def evidence(text: str) -> SafeString:
    """What an excuse rests on; ``operation:12``, ``excuse:3`` and the like as a link."""
    kind, _colon, number = text.partition(":")
    place = _PLACES.get(kind)
    if place is None or not (number.isascii() and number.isdigit()):
        return format_html("{}", text)
    return format_html('<a class="mono" href="{}">{}</a>', place.format(number), text)


_PLACES = {"operation": "/fleet/operations/{}/", "excuse": "/hosting/excuses/#excuse-{}", "machine": "/machines/{}/"}


@register.filter
def term_word(name: str) -> str:
    """What a field of a contract's terms is called."""
    return str(wording.TERMS[name])


@register.filter
def level(one: Sums | None) -> str:
    """How a day is coloured: 5 best to 1, ``e`` all downtime excused and little up, ``x`` unknown, ``n`` nothing."""
    if one is None or not one.seconds:
        return "n"
    if one.unknown_s * 2 > one.seconds:
        return "x"
    if not one.owed_s or one.excused_all_s * 2 > one.seconds:
        return "e"
    share = one.uptime_ppm or 0
    return str(next((mark for least, mark in _LEVELS if share >= least), 1))


def _words(day: DaySight) -> str:
    one = day.sums
    if one is None:
        return f"{date_format(day.day, 'j N')}: {figures.NOTHING}"
    parts = [f"{date_format(day.day, 'j N')}: {ppm(one.uptime_ppm)}"]
    for seconds, name in (
        (one.excused_all_s, _("excused")), (one.unexcused_s, _("not excused")), (one.unknown_s, _("unknown")),
    ):  # fmt: skip
        if seconds:
            parts.append(f"{hours_of(seconds)} {name}")
    return ", ".join(parts)


@register.simple_tag
def heat(days: Sequence[DaySight], label: str = "") -> SafeString:
    """A strip of days, each coloured by its uptime; what it was stands in its title."""
    step = CELL + GAP
    cells = format_html_join(
        "",
        '<rect class="h{}" x="{}" y="0" width="{}" height="{}" rx="3"><title>{}</title></rect>',
        ((level(day.sums), place * step, CELL, CELL, _words(day)) for place, day in enumerate(days)),
    )
    return format_html(
        '<svg class="heat" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>',
        len(days) * step - GAP,
        CELL,
        label or _("Uptime day by day"),
        cells,
    )


@register.simple_tag
def hash_days(days: Sequence[DaySight]) -> SafeString:
    """Hash-hours of each day as bars, with what was promised for the time owed as a line over each."""
    known = [day.sums for day in days if day.sums is not None]
    top = max([1, *(one.hash_milli for one in known), *(one.promised_milli or 0 for one in known)])
    step, height = 24, 120
    parts = []
    for place, day in enumerate(days):
        if day.sums is None:
            continue
        one = day.sums
        tall = height * one.hash_milli / top
        is_short = one.promised_milli is not None and one.hash_milli < one.promised_milli
        parts.append(
            format_html(
                '<rect class="{}" x="{}" y="{}" width="16" height="{}" rx="2"><title>{}</title></rect>',
                "made short" if is_short else "made",
                place * step + 4,
                *(f"{height - tall:.1f}", f"{tall:.1f}"),
                f"{date_format(day.day, 'j N')}: {thousandths(one.hash_milli)} TH/s·h",
            )
        )
        if one.promised_milli:
            parts.append(
                format_html(
                    '<rect class="promised" x="{}" y="{}" width="22" height="2"/>',
                    place * step + 1,
                    f"{height - height * one.promised_milli / top:.1f}",
                )
            )
    return format_html(
        '<svg class="hash-days" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>',
        max(1, len(days)) * step,
        height,
        _("Hash-hours day by day, with what was promised"),
        SafeString("".join(parts)),
    )


def parts_of(one: Sums) -> list[tuple[str, str, int]]:
    """(style, word, seconds) of what the time under contract was, in the order of the bar."""
    found = [("mining", str(_("Up")), one.up_s)]
    found += [
        (CLASS_STYLES[klass], _("Excused: %(name)s") % {"name": excuse_word(klass)}, one.excused_s[klass])
        for klass in EXCUSED
    ]
    found += [("fault", str(_("Down, not excused")), one.unexcused_s), ("unknown", str(_("Unknown")), one.unknown_s)]
    return [each for each in found if each[2]]


@register.simple_tag
def time_bar(one: Sums) -> SafeString:
    """What the time under contract was, as one bar."""
    at, rects = 0.0, []
    for style, _word, seconds in parts_of(one):
        width = 100 * seconds / max(1, one.seconds)
        rects.append(
            format_html('<rect class="s-{}" x="{}" y="0" width="{}" height="12"/>', style, f"{at:.3f}", f"{width:.3f}")
        )
        at += width
    return format_html(
        '<svg class="split-bar" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">{}</svg>',
        SafeString("".join(rects)),
    )


@register.filter
def time_parts(one: Sums) -> list[tuple[str, str, int]]:
    """The legend of ``time_bar``."""
    return parts_of(one)


@register.simple_tag
def term(name: str, value: Any, terms: Terms) -> str:
    """A field of a contract's terms as people write it; ``terms`` say the currency."""
    if value is None or value in ("", [], ()):
        return figures.NOTHING
    writer = _TERMS.get(name)
    return str(value) if writer is None else writer(value, terms)


def _members(value: Sequence[Mapping[str, Any]]) -> str:
    shown = [
        f"{one['machine_id']}"
        + (f" ({one['since'] or ''} – {one['until'] or ''})" if one["since"] or one["until"] else "")
        for one in value[:20]
    ]
    return ", ".join(shown) + (f" … ({len(value)})" if len(value) > len(shown) else "")


_TERMS: Mapping[str, Callable[[Any, Terms], str]] = {
    "by_rule": lambda value, _terms: str(_("yes")) if value else str(_("no")),
    "uptime_ppm": lambda value, _terms: ppm_short(value),
    "nominal_ppm": lambda value, _terms: ppm_short(value),
    "mwh_minor": lambda value, terms: money(value, terms.currency),
    "machine_month_minor": lambda value, terms: money(value, terms.currency),
    "maintenance_s_max": lambda value, _terms: hours_of(value),
    "hash_hours": lambda value, _terms: figures.with_unit(value, "TH/s·h"),
    "curtailment": lambda value, _terms: str(wording.CURTAILMENTS[CurtailmentClass(value)]),
    "credits": lambda value, _terms: "; ".join(
        f"< {ppm_short(one['below_ppm'])}: {ppm_short(one['credit_ppm'])}" for one in value
    ),
    "machines": lambda value, _terms: _members(value),
}
