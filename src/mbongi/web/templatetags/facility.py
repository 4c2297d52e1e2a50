"""How templates draw the plant: kinds and states in words, loads as bars."""

import math
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from mbongi.core.ledger.values import Entry
from mbongi.facility import inventory_wording as wording
from mbongi.facility.values import ElementKind, ElementStatus, LinkKind
from mbongi.web import figures
from mbongi.web.facility_sight import LoadSight

register = template.Library()
HIGH_PCT, FULL_PCT, SCALE_PCT = 80, 100, 125
"""A bar turns at these; it ends at the last."""


@register.filter
def element_kind(kind: str) -> str:
    """What an element is."""
    return str(wording.KINDS[ElementKind(kind)])


@register.filter
def link_kind(kind: str) -> str:
    """What flows over a link."""
    return str(wording.LINKS[LinkKind(kind)])


@register.simple_tag
def element_status(status: str) -> SafeString:
    """Where an element is in its life, as shape, colour and word."""
    known = ElementStatus(status)
    style = wording.STATUS_STYLES[known]
    return format_html(
        '<span class="chip s-{}"><svg aria-hidden="true"><use href="#i-s-{}"/></svg>{}</span>',
        style,
        style,
        wording.STATUSES[known],
    )


@register.simple_tag
def kw(value: float | None) -> SafeString:
    """A large power in the step that reads best."""
    text, unit = figures.scaled(None if value is None else value * 1e3, "W")
    return format_html('{}<span class="unit">{}</span>', text, unit)


@register.simple_tag
def kw_text(value: float) -> str:
    """A power as plain text, for a picture."""
    text, unit = figures.scaled(value * 1e3, "W")
    return f"{text}{figures.NARROW_SPACE}{unit}"


@register.simple_tag
def load_meter(pct: float) -> SafeString:
    """A load in percent of what is allowed, as a bar that turns near and over the limit."""
    shown = min(SCALE_PCT, max(0.0, pct if math.isfinite(pct) else SCALE_PCT))
    return format_html(
        '<meter min="0" max="{}" low="{}" high="{}" optimum="0" value="{}">{} %</meter>',
        SCALE_PCT,
        HIGH_PCT,
        FULL_PCT,
        f"{shown:.1f}",
        figures.number(pct, 0),
    )


@register.simple_tag
def share_meter(part: float, whole: float, style: str = "is-bad") -> SafeString:
    """A part of a whole as a bar; the more the worse, unless ``style`` is another."""
    share = 100 * part / whole if whole > 0 else 0.0
    mark = '<meter class="{}" min="0" max="100" value="{}">{} %</meter>'
    return format_html(mark, style, f"{share:.1f}", f"{share:.0f}")


@register.simple_tag
def load_bar(load: LoadSight | None) -> SafeString:
    """An element's load with its bar, in a row of a table."""
    if load is None:
        return format_html('<span class="muted">{}</span>', figures.NOTHING)
    if load.is_dark:
        return format_html(
            '<span class="state s-fault"><svg aria-hidden="true"><use href="#i-s-fault"/></svg><span>{}</span></span>',
            _("no supply"),
        )
    bar = SafeString("") if load.load_pct is None else load_meter(load.load_pct)
    share = "" if load.load_pct is None else f" · {figures.number(load.load_pct, 0)}{figures.NARROW_SPACE}%"
    return format_html(
        '<span class="load-cell"><span>{}{}<span class="unit">kW</span>{}</span>{}<span class="sub">{}</span></span>',
        figures.number(load.load_kw, 1),
        figures.NARROW_SPACE,
        share,
        bar,
        load.basis,
    )


@register.simple_tag
def autonomy_text(seconds: float) -> str:
    """How long a battery lasts."""
    return _("as long as it likes: it carries nothing") if math.isinf(seconds) else figures.span(seconds)


@register.filter
def field_changes(entry: Entry) -> list[tuple[Any, Any, Any]]:
    """What an entry of the ledger changed, field by field."""
    before, after = entry.before or {}, entry.after or {}
    return [
        (wording.FIELDS.get(name, name), before.get(name) or figures.NOTHING, value or figures.NOTHING)
        for name, value in after.items()
        if name in before
    ]
