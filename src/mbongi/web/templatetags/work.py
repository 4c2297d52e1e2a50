"""How templates draw what only work orders have: their states, faults, intervals on a logarithmic line."""

import math

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mbongi.fleet import work_wording
from mbongi.fleet.rules.repair import Mean
from mbongi.fleet.rules.work_orders import Clash, EntryKind, Fault, WorkState
from mbongi.fleet.stock import MoveKind
from mbongi.fleet.work_order_rows import OrderRow
from mbongi.web import figures
from mbongi.web.sight import machine_name

register = template.Library()

STYLES = {
    WorkState.OPEN: "fault",
    WorkState.TAKEN: "starting",
    WorkState.FIXED: "sleeping",
    WorkState.VERIFIED: "mining",
    WorkState.CANCELLED: "off",
}


@register.simple_tag
def work_chip(state: WorkState) -> SafeString:
    """A work order's state as shape, colour and word."""
    style = STYLES[state]
    return format_html(
        '<span class="chip s-{0}"><svg aria-hidden="true"><use href="#i-s-{0}"/></svg><span>{1}</span></span>',
        style,
        work_wording.STATES[state],
    )


@register.filter
def work_state(state: WorkState) -> str:
    """A work order's state as a word."""
    return str(work_wording.STATES[state])


@register.filter
def fault_word(fault: Fault) -> str:
    """What is wrong, as a word."""
    return str(work_wording.FAULTS[fault])


@register.filter
def entry_word(kind: EntryKind) -> str:
    """What was entered, as a word."""
    return str(work_wording.ENTRIES[kind])


@register.filter
def clash_word(clash: str) -> str:
    """Why an entry does not fit."""
    return str(work_wording.CLASHES[Clash(clash)])


@register.filter
def move_word(kind: MoveKind) -> str:
    """Why pieces came or went."""
    return str(work_wording.MOVES[kind])


@register.filter
def order_place(order: OrderRow) -> str:
    """Where the machine stood when it was reported."""
    return machine_name(order.rack_label, order.slot, order.address, order.machine_id)


@register.filter
def hours_text(hours: float | None) -> str:
    """Hours as people say them: minutes below two hours, days above two days."""
    if hours is None:
        return figures.NOTHING
    if hours < 2:
        return figures.with_unit(hours * 60, "min")
    return figures.with_unit(hours, "h", 1 if hours < 100 else 0)


@register.simple_tag
def mean_bar(mean: Mean, low_h: float, high_h: float) -> SafeString:
    """The interval of a mean on a logarithmic line from ``low_h`` to ``high_h``; open to the right without a limit."""
    if mean.low_h is None or low_h <= 0 or high_h <= low_h:
        return SafeString("")

    def place(hours: float) -> float:
        return 100 * min(1.0, max(0.0, math.log(hours / low_h) / math.log(high_h / low_h))) if hours > 0 else 0.0

    left, right = place(mean.low_h), 100.0 if mean.high_h is None else place(mean.high_h)
    point = "" if mean.value_h is None else _point(place(mean.value_h))
    return format_html(
        '<svg class="mean-bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="range" x="{}" width="{}" height="8"/>{}</svg>',
        f"{left:.1f}",
        f"{max(right - left, 1):.1f}",
        point,
    )


def _point(at: float) -> SafeString:
    return format_html('<rect class="point" x="{}" width="1" height="8"/>', f"{max(0.0, at - 0.5):.1f}")
