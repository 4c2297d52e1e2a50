"""What pages show of healing rules: the form of one, and a replay as lines of machines."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mbongi.fleet import healing_wording
from mbongi.fleet.errors import RuleRefusedError
from mbongi.fleet.healing_rows import ReplayRow
from mbongi.fleet.positions import rack_label
from mbongi.fleet.rules.healing import RuleDocument
from mbongi.web.sight import machine_name

LANES_MAX = 60
"""Machines that a replay's chart shows, those with most done first; the table below it has the others."""
FIGURE_NAMES: dict[str, Promise] = {
    "hashrate_percent": gettext_lazy("Hashrate by its nominal one"),
    "asleep": gettext_lazy("Asleep (1 while it sleeps)"),
    "power_w": gettext_lazy("Power"),
    "efficiency_jth": gettext_lazy("Efficiency"),
    "inlet_temp_c": gettext_lazy("Inlet air"),
    "chip_temp_max_c": gettext_lazy("Hottest chip"),
    "board_temp_max_c": gettext_lazy("Hottest board"),
    "psu_temp_c": gettext_lazy("Power supply's temperature"),
    "fan1_rpm": gettext_lazy("Fan 1"),
    "fan2_rpm": gettext_lazy("Fan 2"),
    "fan3_rpm": gettext_lazy("Fan 3"),
    "fan4_rpm": gettext_lazy("Fan 4"),
    "fan_duty_pct": gettext_lazy("Fan duty"),
    "frequency_mhz": gettext_lazy("Frequency"),
    "voltage_v": gettext_lazy("Voltage"),
    "error_count": gettext_lazy("Error codes"),
    "chips": gettext_lazy("Chips that answer"),
    "uptime_s": gettext_lazy("Time since its start"),
}
_MINUTES = ("for_s", "cool_down_s", "judge_s", "prove_s")


def figure_name(column: str) -> str:
    """A figure in the reader's language."""
    return str(FIGURE_NAMES.get(column, column))


def form_of(document: RuleDocument, *, name: str, rank: int) -> dict[str, Any]:
    """The fields of a rule's form; times in minutes."""
    figure, limits = document.figure, document.limits
    bound = None if figure is None else figure.above if figure.above is not None else figure.below
    return {
        "name": name,
        "rank": f"{rank}",
        "kinds": [kind.value for kind in document.kinds],
        "column": "" if figure is None else figure.column,
        "side": "below" if figure is not None and figure.above is None else "above",
        "bound": "" if bound is None else f"{bound:g}",
        "steps": [cure.value for cure in document.steps],
        "work_order": document.work_order,
        "fault": document.fault.value,
        "groups": [str(number) for number in document.groups],
        "halls": ", ".join(map(str, document.halls)),
        "models": ", ".join(document.models),
        "machine_day": f"{limits.machine_day}",
        "hour": f"{limits.hour}",
        "at_once": f"{limits.at_once}",
        "common_percent": "" if limits.common_percent is None else f"{limits.common_percent:g}",
        "share_percent": f"{document.share_percent:g}",
        **{field_: f"{getattr(document, field_) / 60:g}" for field_ in _MINUTES},
    }


def form_given(given: QueryDict) -> dict[str, Any]:
    """The fields as somebody filled them in, to be shown again."""
    return {name: given.get(name, "") for name in given} | {
        "kinds": given.getlist("kinds"),
        "steps": [word for word in given.getlist("steps") if word],
        "groups": given.getlist("groups"),
        "work_order": bool(given.get("work_order")),
    }


def document_of(given: QueryDict) -> dict[str, Any]:
    """A rule's document from the form. Raises RuleRefusedError where a number cannot be read."""
    column = given.get("column", "")
    common = given.get("common_percent", "").strip()
    return {
        "kinds": given.getlist("kinds"),
        "figure": {"column": column, given.get("side", "above"): _number(given, "bound")} if column else None,
        "steps": [word for word in given.getlist("steps") if word],
        "work_order": bool(given.get("work_order")),
        "fault": given.get("fault", ""),
        "groups": [int(word) for word in given.getlist("groups") if word.isdigit()],
        "halls": [int(word) for word in _words(given, "halls") if word.isdigit()],
        "models": _words(given, "models"),
        "limits": {
            "machine_day": int(_number(given, "machine_day")),
            "hour": int(_number(given, "hour")),
            "at_once": int(_number(given, "at_once")),
            "common_percent": _number(given, "common_percent") if common else None,
        },
        "share_percent": _number(given, "share_percent"),
        **{name: 60 * _number(given, name) for name in _MINUTES},
    }


def rank_of(given: QueryDict) -> int:
    """The rank from the form. Raises RuleRefusedError."""
    return int(_number(given, "rank"))


def _words(given: QueryDict, name: str) -> list[str]:
    return [word.strip() for word in given.get(name, "").split(",") if word.strip()]


def _number(given: QueryDict, name: str) -> float:
    text = given.get(name, "").strip().replace(",", ".")
    try:
        number = float(text)
    except ValueError as error:
        words = _("“%(text)s” is no number.") % {"text": text}
        raise RuleRefusedError(f"healing rule: {name}: {text!r}: expected a number", words) from error
    if not abs(number) < 1e12:
        raise RuleRefusedError(f"healing rule: {name}: {text!r}", _("“%(text)s” is no number.") % {"text": text})
    return number


class Mark(msgspec.Struct, frozen=True):
    """Something that a rule would have done."""

    cure: str
    at_ms: int
    ended_ms: int | None
    outcome: str
    rule: str


@dataclass(slots=True)
class Lane:
    """One machine of a replay, and what would have been done to it."""

    machine_id: int
    name: str
    marks: list[Mark] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class KeptLine:
    """Machines that a rule would have held back or left alone for one reason."""

    rule: str
    why: str
    is_aside: bool
    machines: int
    minutes: int
    some: Sequence[tuple[int, str, int]]


@dataclass(frozen=True, slots=True)
class ReplaySight:
    """A replay's result for the page."""

    lanes: list[Lane]
    lanes_total: int
    marks: list[tuple[Lane, Mark]]
    marks_total: int
    kept: list[KeptLine]
    counts: list[tuple[str, int]]
    by_rule: list[tuple[str, Mapping[str, int]]]
    machines: int
    rows: int
    seconds: float
    really_done: int


def rule_names(row: ReplayRow) -> dict[int, str]:
    """The names of a replay's rules."""
    return {each["id"]: healing_wording.rule_name(each["name"], each["name"]) for each in row.rules}


def replay_sight(row: ReplayRow) -> ReplaySight | None:
    """The result of a replay; None while there is none."""
    result = row.result
    if result is None:
        return None
    names = rule_names(row)
    places = {int(number): _machine(int(number), place) for number, place in result["names"].items()}
    lanes: dict[int, Lane] = {}
    marks: list[tuple[Lane, Mark]] = []
    for each in result["attempts"]:
        machine_id = each["machine"]
        lane = lanes.setdefault(machine_id, Lane(machine_id, places[machine_id]))
        mark = Mark(each["cure"], each["at"], each["ended"], each["outcome"], names.get(each["rule"], ""))
        lane.marks.append(mark)
        marks.append((lane, mark))
    fullest = sorted(lanes.values(), key=lambda lane: (-len(lane.marks), lane.marks[0].at_ms))[:LANES_MAX]
    counts: Counter[str] = Counter()
    for some in result["counts"].values():
        counts.update(some)
    return ReplaySight(
        lanes=sorted(fullest, key=lambda lane: lane.marks[0].at_ms),
        lanes_total=len(lanes),
        marks=marks,
        marks_total=result["attempts_total"],
        kept=[_kept(each, names, places) for each in result["kept"]],
        counts=counts.most_common(),
        by_rule=[(names[int(number)], some) for number, some in result["counts"].items()],
        machines=result["machines"],
        rows=result["rows"],
        seconds=result["seconds"],
        really_done=result["really_done"],
    )


def _kept(each: Mapping[str, Any], names: Mapping[int, str], places: Mapping[int, str]) -> KeptLine:
    return KeptLine(
        rule=names.get(each["rule"], ""),
        why=healing_wording.kept_text(each["why"]),
        is_aside=each["why"].startswith("aside"),
        machines=each["machines"],
        minutes=each["minutes"],
        some=[(number, places.get(number, str(number)), minutes) for number, minutes in each["some"][:12]],
    )


def _machine(machine_id: int, place: Sequence[Any]) -> str:
    hall, rack, slot, address = place
    return machine_name(rack_label(hall, rack), slot, address, machine_id)
