"""How templates draw alarms: priority and state as shape, colour and word; when one was there; rates against limits."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from mbongi.facility import alarm_wording
from mbongi.facility.alarm_rows import AlarmRow, DefinitionRow
from mbongi.facility.rules.alarm_limits import Document, Kind, Priority
from mbongi.facility.rules.alarm_rates import ACCEPTABLE_H, MANAGEABLE_H
from mbongi.facility.rules.alarm_state import Change, State
from mbongi.web import figures

register = template.Library()

PRIORITY_STYLES = {Priority.HIGH: "critical", Priority.MEDIUM: "warning", Priority.LOW: "info"}
STATE_STYLES = {
    State.NORMAL: "mining",
    State.UNACKNOWLEDGED: "fault",
    State.ACKNOWLEDGED: "starting",
    State.RETURNED: "unknown",
    State.LATCHED: "unknown",
    State.LATCHED_ACKNOWLEDGED: "starting",
    State.SHELVED: "sleeping",
    State.SUPPRESSED: "sleeping",
    State.OUT_OF_SERVICE: "off",
}
WIDE, TALL = 960, 150


@register.simple_tag
def priority_chip(priority: Priority) -> SafeString:
    """A priority."""
    return _chip("v", PRIORITY_STYLES[priority], alarm_wording.PRIORITIES[priority])


@register.filter
def priority_style(priority: Priority) -> str:
    """The name of its shape and colour."""
    return PRIORITY_STYLES[priority]


@register.filter
def priority_word(priority: Priority) -> str:
    """A priority as a word."""
    return str(alarm_wording.PRIORITIES[priority])


@register.simple_tag
def alarm_state(state: State) -> SafeString:
    """A state."""
    return _chip("s", STATE_STYLES[state], alarm_wording.STATES[state])


@register.filter
def change_word(change: Change) -> str:
    """What happened."""
    return str(alarm_wording.CHANGES[change])


@register.filter
def reason_words(reason: str) -> str:
    """Why: the process's own reasons in the reader's language, people's as they wrote them."""
    return str(alarm_wording.REASONS.get(reason, reason))


@register.filter
def channel_word(channel: Any) -> str:
    """How somebody is told."""
    return str(alarm_wording.CHANNELS[channel])


def _chip(kind: str, style: str, text: Any) -> SafeString:
    return format_html(
        '<span class="chip s-{1}"><svg aria-hidden="true"><use href="#i-{0}-{1}"/></svg><span>{2}</span></span>',
        kind,
        style,
        text,
    )


@register.filter
def alarm_title(row: AlarmRow | DefinitionRow) -> str:
    """Its name."""
    return alarm_wording.words_of(row.key, row.document, "title")


@register.simple_tag
def alarm_text(row: AlarmRow | DefinitionRow, field: str) -> str:
    """Cause, consequence or response."""
    return alarm_wording.words_of(row.key, row.document, field)


@register.filter
def condition_words(document: Document) -> str:
    """What it watches, in one line."""
    kind = str(alarm_wording.KINDS[document.kind])
    if document.kind in {Kind.QUALITY, Kind.INFERRED} or document.limit is None:
        return kind
    limit = f"{document.limit:g}{figures.NARROW_SPACE}{document.unit}".strip()
    if document.kind is Kind.RATE:
        limit = _("%(limit)s per minute") % {"limit": limit}
    if document.kind is Kind.DEVIATION:
        limit = _("%(limit)s from %(setpoint)s") % {"limit": limit, "setpoint": f"{document.setpoint:g}"}
    return f"{kind}: {limit}"


@register.filter
def follows_words(document: Document) -> str:
    """The losses that it may be a consequence of."""
    return ", ".join(str(alarm_wording.FOLLOWS[each]) for each in document.follows) or "–"


@register.filter
def stops_word(document: Document) -> str:
    """What its element no longer gives."""
    return str(alarm_wording.SUPPLIES[document.stops]) if document.stops else "–"


@register.filter
def seconds(value: float) -> str:
    """A span of seconds."""
    return figures.span(value) if value else "–"


@register.simple_tag
def alarm_value(row: Any) -> str:
    """The last reading with its unit."""
    unit = row.document.unit if hasattr(row, "document") else row.unit
    return "" if row.value is None else f"{row.value:g}{figures.NARROW_SPACE}{unit}".strip()


@register.simple_tag
def presence(spans: Sequence[tuple[datetime, datetime | None]], since: datetime, until: datetime) -> SafeString:
    """A line of time on which an alarm's condition was there, or not."""
    whole = (until - since).total_seconds()

    def place(at: datetime) -> float:
        return round(WIDE * max(0.0, (at - since).total_seconds()) / whole, 1)

    rects = format_html_join(
        "",
        '<rect x="{}" y="4" width="{}" height="20" rx="2"><title>{}</title></rect>',
        (
            (place(begin), max(2.0, place(end or until) - place(begin)), figures.moment_text(begin))
            for begin, end in spans
        ),
    )
    return format_html(
        '<svg class="alarm-line" viewBox="0 0 {} 28" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<line x1="0" x2="{}" y1="14" y2="14"/>{}</svg>',
        WIDE,
        _("When it was there"),
        WIDE,
        rects,
    )


@register.simple_tag
def rate_chart(hours: Sequence[int], operators: int) -> SafeString:
    """Alarms of each hour as bars, with what an operator can take drawn across."""
    most = max([*hours, round(MANAGEABLE_H * operators) + 2])
    width = WIDE / max(1, len(hours))

    def high(count: float) -> float:
        return round((TALL - 10) * count / most, 1)

    bars = format_html_join(
        "",
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>',
        (
            (
                _rate_class(count / operators),
                round(number * width + width * 0.1, 1),
                TALL - high(count),
                round(width * 0.8, 1),
                high(count),
                count,
            )
            for number, count in enumerate(hours)
            if count
        ),
    )
    limits = format_html_join(
        "",
        '<line class="{}" x1="0" x2="{}" y1="{}" y2="{}"/>',
        (
            ("ok", WIDE, TALL - high(ACCEPTABLE_H * operators), TALL - high(ACCEPTABLE_H * operators)),
            ("max", WIDE, TALL - high(MANAGEABLE_H * operators), TALL - high(MANAGEABLE_H * operators)),
        ),
    )
    label = _("Alarms of each hour; at most %(n)d") % {"n": max(hours, default=0)}
    return format_html(
        '<svg class="alarm-hours" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}{}</svg>',
        WIDE,
        TALL,
        label,
        bars,
        limits,
    )


def _rate_class(per_operator: float) -> str:
    if per_operator <= ACCEPTABLE_H:
        return "s-mining"
    return "s-warning" if per_operator <= MANAGEABLE_H else "s-fault"
