"""How templates draw what groups, profiles and operations have: their states, and how far an operation is."""

from collections.abc import Mapping

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from mbongi.fleet import curtail_wording, operation_wording, wording
from mbongi.fleet.operation_rows import OperationRow
from mbongi.fleet.reconcile import Preview
from mbongi.fleet.rules.desired import Difference
from mbongi.fleet.rules.triggers import TriggerKind
from mbongi.fleet.selectors import MachineRow
from mbongi.fleet.values import (
    ActionKind,
    ActionStatus,
    DesiredField,
    Family,
    MachineState,
    OperationKind,
    OperationState,
)
from mbongi.fleet.values import ProfileState as Version
from mbongi.web import figures
from mbongi.web.sight import machine_name

register = template.Library()

_FAMILIES = {
    Family.ANTMINER: "Antminer",
    Family.WHATSMINER: "Whatsminer",
    Family.WHATSMINER_V3: "Whatsminer (API 3)",
    Family.BITAXE: "Bitaxe",
    Family.VNISH: "VNish",
    Family.BRAIINS: "Braiins OS",
}
_OPERATIONS = {
    OperationState.AWAITING: "unknown",
    OperationState.PLANNED: "off",
    OperationState.RUNNING: "starting",
    OperationState.PAUSED: "sleeping",
    OperationState.HALTED: "fault",
    OperationState.DONE: "mining",
    OperationState.ROLLED_BACK: "off",
    OperationState.CANCELLED: "off",
}
_VERSIONS = {
    Version.DRAFT: "off",
    Version.PROPOSED: "unknown",
    Version.ACTIVE: "mining",
    Version.SUPERSEDED: "off",
    Version.REFUSED: "off",
}
_STEPS = {
    ActionStatus.PLANNED: "off",
    ActionStatus.REQUESTED: "starting",
    ActionStatus.RUNNING: "starting",
    ActionStatus.DONE: "mining",
    ActionStatus.FAILED: "fault",
    ActionStatus.CANCELLED: "off",
}
BAR = (ActionStatus.DONE, ActionStatus.FAILED, ActionStatus.RUNNING, ActionStatus.REQUESTED, ActionStatus.CANCELLED)
"""The parts of a progress bar, from the left; what is planned is what is left of it."""


def _chip(style: str, words: object) -> SafeString:
    mark = '<span class="chip s-{0}"><svg aria-hidden="true"><use href="#i-s-{0}"/></svg><span>{1}</span></span>'
    return format_html(mark, style, words)


@register.filter
def family_name(family: Family) -> str:
    """A family that can be flashed, as its maker writes it."""
    return _FAMILIES.get(family, family.value)


@register.simple_tag
def operation_chip(state: OperationState) -> SafeString:
    """An operation's state as shape, colour and word."""
    return _chip(_OPERATIONS[state], wording.OPERATION_STATES[state])


@register.simple_tag
def version_chip(state: Version) -> SafeString:
    """The state of a version of a profile as shape, colour and word."""
    return _chip(_VERSIONS[state], wording.PROFILE_STATES[state])


@register.simple_tag
def step_chip(status: ActionStatus) -> SafeString:
    """How far a step is, as shape, colour and word."""
    return _chip(_STEPS[status], wording.STATUSES[status])


@register.simple_tag
def progress_bar(row: OperationRow) -> SafeString:
    """How far an operation is: done, failed, under way, not done, each in its colour; it says so in words too."""
    parts = [(status, row.steps.get(status, 0)) for status in BAR]
    label = _("%(ended)s of %(total)s steps") % {"ended": row.ended, "total": row.total}
    return _bar([(_STEPS[status], count) for status, count in parts], row.total, label)


@register.simple_tag
def states_bar(counts: Mapping[MachineState, int]) -> SafeString:
    """Machines by state as one bar."""
    order = (
        *(MachineState.MINING, MachineState.SLEEPING, MachineState.STARTING),
        *(MachineState.OFF, MachineState.UNKNOWN, MachineState.FAULT),
    )
    words = ", ".join(f"{wording.STATES[state]} {counts[state]}" for state in order if counts.get(state))
    return _bar([(state.word, counts.get(state, 0)) for state in order], sum(counts.values()), words)


@register.simple_tag
def standing_bar(found: Preview) -> SafeString:
    """How many machines are as their profile says, as one bar."""
    parts = [
        ("mining", found.same),
        ("fault", found.differing),
        ("unknown", found.unknown),
        ("starting", found.pending),
    ]
    return _bar(parts, found.total, _("%(same)s of %(total)s machines") % {"same": found.same, "total": found.total})


def _bar(parts: list[tuple[str, int]], total: int, label: str) -> SafeString:
    rects, x = [], 0.0
    for style, count in parts:
        width = 100.0 * count / total if total else 0.0
        if count:
            rects.append((style, f"{x:.3f}", f"{width:.3f}"))
        x += width
    inner = format_html_join("", '<rect class="s-{}" x="{}" y="0" width="{}" height="12"/>', rects)
    mark = '<svg class="split-bar" viewBox="0 0 100 12" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    return format_html(mark, label, inner)


@register.filter
def operation_name(kind: OperationKind) -> str:
    """What an operation is for, as a word."""
    return str(wording.OPERATIONS[kind])


@register.filter
def operation_text(message: str) -> str:
    """Why it halted or how it ended."""
    return operation_wording.operation_text(message)


@register.filter
def action_word(kind: ActionKind) -> str:
    """What is done to a machine, as a word."""
    return str(wording.ACTIONS[kind])


@register.filter
def desired_word(field: DesiredField) -> str:
    """What of a machine a profile speaks of, as a word."""
    return str(wording.DESIRED[field])


@register.filter
def why_not(reason: str) -> str:
    """Why a difference is left as it is."""
    return str(wording.WHY_NOT.get(reason, reason))


@register.filter
def row_name(row: MachineRow) -> str:
    """The name of a machine."""
    return machine_name(row.rack_label, row.slot, row.address, row.id)


@register.filter
def percent(part: float | None, whole: float | None) -> str:
    """A share of a whole in percent; an en dash where there is no whole."""
    return f"{figures.number(100.0 * (part or 0) / whole, 0)}{figures.NARROW_SPACE}%" if whole else figures.NOTHING


@register.filter
def pool_in_use(row: MachineRow) -> str:
    """The address of the pool that a machine works for, as it stated it last."""
    return next((str(pool.get("url")) for pool in row.detail.get("pools", ()) if pool.get("active")), figures.NOTHING)


@register.filter
def is_lines(one: Difference) -> list[str]:
    """What a machine states, a line for each pool."""
    return one.found.split(", ") if one.found else []


@register.filter
def should_lines(one: Difference) -> list[str]:
    """What it should be, a line for each pool."""
    return one.wanted.split(", ")


@register.filter
def trigger_word(kind: TriggerKind) -> str:
    """What a trigger waits for, as a word."""
    return str(curtail_wording.TRIGGERS[kind])


@register.filter
def curtail_text(message: str) -> str:
    """How a curtailment stands or how it ended."""
    return curtail_wording.message_text(message)
