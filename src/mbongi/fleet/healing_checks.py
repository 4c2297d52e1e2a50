"""What a healing rule must look like before it is written down. Pure but for the reader's language."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from mbongi.fleet.errors import RuleRefusedError
from mbongi.fleet.rules.healing import Cure, RuleDocument
from mbongi.fleet.rules.healing_figures import FIGURES
from mbongi.fleet.values import EventKind

STEPS_MAX = 5
FOR_S, COOL_DOWN_S, JUDGE_S, PROVE_S = (30.0, 86_400.0), (60.0, 86_400.0), (120.0, 14_400.0), (60.0, 7_200.0)
SHARE_PERCENT = (1.0, 120.0)
MACHINE_DAY, HOUR, AT_ONCE = (1, 24), (1, 1000), (1, 500)
COMMON_PERCENT = (1.0, 100.0)
LIST_MAX = 100


def checked_document(document: Mapping[str, Any] | RuleDocument) -> RuleDocument:
    """A rule's document, checked. Raises RuleRefusedError naming the field, what was found and expected."""
    try:
        rule = msgspec.convert(msgspec.to_builtins(document), RuleDocument)
    except msgspec.ValidationError as error:
        text = _("This rule cannot be read: %(error)s") % {"error": error}
        raise RuleRefusedError(f"healing rule: {error}", text) from error
    _check_condition(rule)
    _check_steps(rule)
    limits = rule.limits
    for name, value, bounds in (
        ("for_s", rule.for_s, FOR_S),
        ("cool_down_s", rule.cool_down_s, COOL_DOWN_S),
        ("judge_s", rule.judge_s, JUDGE_S),
        ("prove_s", rule.prove_s, PROVE_S),
        ("share_percent", rule.share_percent, SHARE_PERCENT),
        ("machine_day", limits.machine_day, MACHINE_DAY),
        ("hour", limits.hour, HOUR),
        ("at_once", limits.at_once, AT_ONCE),
        ("common_percent", limits.common_percent, COMMON_PERCENT),
    ):
        _check_within(name, value, bounds)
    if rule.prove_s > rule.judge_s:
        raise RuleRefusedError(
            f"healing rule: prove_s {rule.prove_s:g} s above judge_s {rule.judge_s:g} s",
            _("The time to prove the recovery must fit into the time until it is judged."),
        )
    if max(len(rule.groups), len(rule.halls), len(rule.models)) > LIST_MAX or "" in rule.models:
        raise RuleRefusedError(
            "healing rule: groups, halls, models: too many, or an empty name",
            _("Name up to %(limit)d groups, halls or models.") % {"limit": LIST_MAX},
        )
    return rule


def _check_within(name: str, value: float | None, bounds: tuple[float, float]) -> None:
    low, high = bounds
    if value is not None and not (math.isfinite(value) and low <= value <= high):
        text = _("%(name)s must be between %(low)g and %(high)g.") % {"name": name, "low": low, "high": high}
        raise RuleRefusedError(f"healing rule: {name} {value:g}; expected {low:g} to {high:g}", text)


def _check_condition(rule: RuleDocument) -> None:
    if bool(rule.kinds) == (rule.figure is not None):
        raise RuleRefusedError(
            "healing rule: expected conditions or a figure, and not both", _("Give conditions or a figure, not both.")
        )
    moment = next((kind for kind in rule.kinds if not kind.is_condition or kind is EventKind.RULE), None)
    if moment is not None:
        text = _("“%(kind)s” is no condition that lasts.") % {"kind": moment.value}
        raise RuleRefusedError(f"healing rule: {moment.value}: not a condition", text)
    figure = rule.figure
    if figure is None:
        return
    if figure.column not in FIGURES:
        text = _("There is no figure “%(name)s”.") % {"name": figure.column}
        raise RuleRefusedError(f"healing rule: figure {figure.column!r}: expected one of {sorted(FIGURES)}", text)
    limits = [each for each in (figure.above, figure.below) if each is not None]
    if len(limits) != 1 or not math.isfinite(limits[0]):
        raise RuleRefusedError(
            f"healing rule: figure {figure.column}: expected one limit, above or below",
            _("A figure has one limit, above or below."),
        )


def _check_steps(rule: RuleDocument) -> None:
    steps = rule.steps
    if len(steps) > STEPS_MAX or Cure.WORK_ORDER in steps:
        raise RuleRefusedError(
            f"healing rule: {len(steps)} steps; at most {STEPS_MAX}, none of them a work order",
            _("A rule has up to %(limit)d steps; the work order comes after them.") % {"limit": STEPS_MAX},
        )
    if Cure.SLEEP in steps[:-1]:
        raise RuleRefusedError(
            "healing rule: sleep is not the last step", _("After sleep nothing can be tried: make it the last step.")
        )
    if not rule.work_order and (not steps or {Cure.SLEEP, Cure.LOWER} & set(steps)):
        raise RuleRefusedError(
            "healing rule: no work order, though it has no step, or one that takes power away",
            _("Without a step, or with one that takes power away, people must be told by a work order."),
        )
