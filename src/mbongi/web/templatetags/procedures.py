"""How templates draw what only procedures have."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mbongi.facility import procedure_wording as wording
from mbongi.facility.rules.procedures import Outcome, ProcedureKind, ProcedureStep, RunState, StepKind
from mbongi.facility.values import VersionState
from mbongi.web import figures

register = template.Library()

_RUNS = {
    RunState.RUNNING: "starting",
    RunState.HELD: "fault",
    RunState.BACKING_OUT: "unknown",
    RunState.DONE: "mining",
    RunState.BACKED_OUT: "off",
}
_VERSIONS = {
    VersionState.PROPOSED: "starting",
    VersionState.ACTIVE: "mining",
    VersionState.FORMER: "off",
    VersionState.REFUSED: "fault",
}
_OUTCOMES = {Outcome.DONE: "mining", Outcome.NOT_APPLICABLE: "off", Outcome.FAILED: "fault"}


def _chip(style: str, word: object) -> SafeString:
    text = '<span class="chip s-{0}"><svg aria-hidden="true"><use href="#i-s-{0}"/></svg><span>{1}</span></span>'
    return format_html(text, style, word)


@register.simple_tag
def run_chip(state: RunState) -> SafeString:
    """A run's state as shape, colour and word."""
    return _chip(_RUNS[state], wording.RUNS[state])


@register.simple_tag
def procedure_version_chip(state: VersionState) -> SafeString:
    """A version's state as shape, colour and word."""
    return _chip(_VERSIONS[state], wording.VERSIONS[state])


@register.simple_tag
def outcome_chip(outcome: Outcome) -> SafeString:
    """How a step was signed."""
    return _chip(_OUTCOMES[outcome], wording.OUTCOMES[outcome])


@register.filter
def procedure_kind(kind: ProcedureKind) -> str:
    """What a procedure is for."""
    return str(wording.KINDS[kind])


@register.filter
def step_kind(kind: StepKind) -> str:
    """What a step asks for."""
    return str(wording.STEPS[kind])


@register.filter
def limits(step: ProcedureStep) -> str:
    """The limits of a check, such as ``0 … 5 V``; empty where there are none."""
    if step.low is None and step.high is None:
        return ""
    low, high = (None if each is None else _figure(each) for each in (step.low, step.high))
    span = f"{low} … {high}" if low is not None and high is not None else f"≥ {low}" if high is None else f"≤ {high}"
    return f"{span} {step.unit}".strip()


def _figure(value: float) -> str:
    return figures.number(value, len(f"{value:.3f}".rstrip("0").partition(".")[2]))


@register.filter
def as_percent(share: float) -> int:
    """From 0 to 100."""
    return round(100 * share)
