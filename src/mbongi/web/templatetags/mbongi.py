"""How templates draw icons, states, figures and ages."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.fleet import wording
from mbongi.fleet.selectors import EventRow
from mbongi.fleet.values import MachineState, Severity
from mbongi.web import figures
from mbongi.web.sight import MachineSight, machine_name

register = template.Library()


@register.simple_tag
def icon(name: str, extra: str = "") -> SafeString:
    """An icon of the page's own set, hidden from screen readers: words stand beside it."""
    return format_html('<svg class="icon {}" aria-hidden="true"><use href="#i-{}"/></svg>', extra, name)


@register.simple_tag
def state(value: int | MachineState, chip: str = "") -> SafeString:
    """A machine's state as shape, colour and word."""
    known = MachineState(value)
    return format_html(
        '<span class="{} s-{}"><svg aria-hidden="true"><use href="#i-s-{}"/></svg><span>{}</span></span>',
        "chip" if chip else "state",
        known.word,
        known.word,
        wording.STATES[known],
    )


@register.simple_tag
def severity(value: str) -> SafeString:
    """An event's severity as shape, colour and word."""
    known = Severity(value)
    return format_html(
        '<span class="chip s-{}"><svg aria-hidden="true"><use href="#i-v-{}"/></svg>{}</span>',
        known.value,
        known.value,
        wording.SEVERITIES[known],
    )


@register.simple_tag
def big(value: float | None, unit: str) -> SafeString:
    """A large figure with its unit in the step that reads best."""
    text, step = figures.scaled(value, unit)
    return format_html('{}<span class="unit">{}</span>', text, step)


@register.simple_tag
def sat(value: Any) -> SafeString:
    """An amount of satoshis."""
    text, unit = figures.amount(value)
    return format_html('<span class="nowrap">{}<span class="unit">{}{}</span></span>', text, figures.NARROW_SPACE, unit)


@register.simple_tag
def chip(words: Any) -> SafeString:
    """A state of the pool's things as shape, colour and word."""
    return format_html(
        '<span class="chip s-{}"><svg aria-hidden="true"><use href="#i-s-{}"/></svg><span>{}</span></span>',
        words.style,
        words.style,
        words.label,
    )


@register.simple_tag
def figure(value: Any, unit: str = "", decimals: int = 0) -> SafeString:
    """A figure with its unit; an en dash with a spoken explanation where it is unknown."""
    if figures.known(value) is None:
        return format_html('<span class="muted" title="{}">{}</span>', _("not known"), figures.NOTHING)
    return format_html(
        '{}<span class="unit">{}{}</span>', figures.number(value, decimals), figures.NARROW_SPACE if unit else "", unit
    )


@register.simple_tag
def age(moment: datetime | None) -> SafeString:
    """How long ago, with the full time on hover; scripts keep it counting."""
    seconds = figures.age_of(moment)
    if moment is None or seconds is None:
        return format_html('<span class="muted">{}</span>', _("never"))
    return format_html(
        '<time datetime="{}" data-age title="{}">{}</time>',
        moment.isoformat(timespec="seconds"),
        figures.moment_text(moment),
        _("%(age)s ago") % {"age": figures.span(seconds)},
    )


@register.simple_tag
def figure_cells(one: MachineSight, columns: Sequence[Any]) -> SafeString:
    """A machine's figures without their units, a cell for each column, whose head names its unit.

    One tag draws the whole row: a page of fifty machines has hundreds of them.
    """
    at = "" if one.reading is None else str(int(one.reading.at))
    stale = mark_safe(' class="is-stale"') if one.is_stale else ""
    cells = (
        (f"{column.short}, {column.unit}", column.name, column.decimals, at, stale, _plain(one, column))
        for column in columns
    )
    mark = '<td class="num" data-label="{}"><span data-figure="{}" data-decimals="{}" data-at="{}"{}>{}</span></td>'
    return format_html_join("", mark, cells)


def _plain(one: MachineSight, column: Any) -> str:
    return figures.number(one.figure(column.name), column.decimals)


@register.simple_tag
def age_text(moment: datetime) -> str:
    """How long ago, without mark-up."""
    return _("%(age)s ago") % {"age": figures.span(figures.age_of(moment) or 0.0)}


@register.simple_tag
def lasted(row: EventRow) -> str:
    """How long a condition lasted."""
    return figures.NOTHING if row.cleared_at is None else figures.span((row.cleared_at - row.at).total_seconds())


@register.simple_tag
def subject(text: str) -> SafeString:
    """What a ledger entry is about; machines as a link."""
    kind, _colon, number = text.partition(":")
    if kind == "machine" and number.isdigit():
        return format_html('<a class="mono" href="/machines/{}/">{}</a>', number, text)
    return format_html('<span class="mono">{}</span>', text)


@register.filter
def span_of(seconds: float) -> str:
    """A length of time in seconds, as people say it."""
    return figures.span(seconds)


@register.filter
def event_title(row: EventRow) -> str:
    """The short name of what happened."""
    return str(wording.KINDS[row.kind])


@register.filter
def reason(text: str) -> str:
    """Why a machine is in its state, in the reader's language."""
    return wording.reason_text(text)


@register.filter
def event_machine(row: EventRow) -> str:
    """The name of the machine that it happened to."""
    return machine_name(row.rack_label, row.slot, row.address, row.machine_id)


@register.filter
def since(moment: datetime | None) -> str:
    """How long something has lasted."""
    return figures.NOTHING if moment is None else figures.span((utc_now() - moment).total_seconds())


@register.filter
def full_time(moment: datetime | None) -> str:
    """Date and time to the second, in the site's time zone."""
    return figures.NOTHING if moment is None else figures.moment_text(moment)


@register.filter
def get(mapping: dict[Any, Any], key: Any) -> Any:
    """The value of a key; empty where there is none."""
    return mapping.get(key, "")
