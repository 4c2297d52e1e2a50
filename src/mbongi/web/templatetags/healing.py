"""How templates draw healing rules: their modes, steps and outcomes, the hours of a day, and the line of a replay."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from mbongi.fleet import healing_wording, wording
from mbongi.fleet.healing_rows import AttemptRow, RuleRow
from mbongi.fleet.rules.healing import Cure, Mode, Outcome, RuleDocument
from mbongi.fleet.rules.healing_figures import ASLEEP, FIGURES
from mbongi.web import figures
from mbongi.web.healing_sight import Lane, figure_name
from mbongi.web.sight import machine_name

register = template.Library()

MODE_STYLES = {Mode.OFF: "off", Mode.WATCH: "sleeping", Mode.ON: "mining"}
OUTCOME_STYLES = {
    Outcome.OPEN: "starting",
    Outcome.RECOVERED: "mining",
    Outcome.CLEARED: "sleeping",
    Outcome.NOT_RECOVERED: "unknown",
    Outcome.FAILED: "fault",
    Outcome.PROTECTED: "sleeping",
    Outcome.ORDERED: "fault",
    Outcome.ABANDONED: "off",
}
CURE_STYLES = {
    Cure.REBOOT: "c-reboot",
    Cure.WAKE: "c-wake",
    Cure.LOWER: "c-lower",
    Cure.SLEEP: "c-sleep",
    Cure.REAPPLY: "c-reapply",
    Cure.WORK_ORDER: "c-order",
}
CHART_W, CHART_H = 480, 96
LINE_W, LANE_H = 960, 22


def _chip(style: str, text: Any) -> SafeString:
    return format_html(
        '<span class="chip s-{0}"><svg aria-hidden="true"><use href="#i-s-{0}"/></svg><span>{1}</span></span>',
        style,
        text,
    )


@register.simple_tag
def mode_chip(mode: Mode) -> SafeString:
    """Whether a rule acts."""
    return _chip(MODE_STYLES[mode], healing_wording.MODES[mode])


@register.simple_tag
def outcome_chip(row: AttemptRow) -> SafeString:
    """What became of an attempt."""
    return _chip(OUTCOME_STYLES[row.outcome], healing_wording.OUTCOMES[row.outcome])


@register.filter
def outcome_word(word: str) -> str:
    """What became of an attempt, as a word."""
    return str(healing_wording.OUTCOMES[Outcome(word)])


@register.filter
def cure_word(cure: str) -> str:
    """What a rule does, as a word."""
    return str(healing_wording.CURES[Cure(cure)])


@register.simple_tag
def cure_mark(cure: str) -> SafeString:
    """What a rule does, as a coloured mark and a word."""
    known = Cure(cure)
    return format_html('<span class="cure {}"><i></i>{}</span>', CURE_STYLES[known], healing_wording.CURES[known])


@register.filter
def rule_title(row: RuleRow | AttemptRow) -> str:
    """A rule's name in the reader's language."""
    if isinstance(row, AttemptRow):
        return healing_wording.rule_name(row.rule_key, row.rule)
    return healing_wording.rule_name(row.key, row.name)


@register.filter
def kept_words(word: str) -> str:
    """Why a rule holds back or leaves alone."""
    return healing_wording.kept_text(word)


@register.filter
def refusal_words(message: str) -> str:
    """Why a rule could begin nothing."""
    return healing_wording.refusal_text(message)


@register.filter
def attempt_machine(row: AttemptRow) -> str:
    """The name of the machine."""
    return machine_name(row.rack_label, row.slot, row.address, row.machine_id)


@register.filter
def condition_text(document: RuleDocument) -> str:
    """The condition and for how long, in one sentence."""
    lasting = figures.span(document.for_s)
    figure = document.figure
    if figure is None:
        words = ", ".join(str(wording.KINDS[kind]) for kind in document.kinds)
        return _("%(condition)s for %(time)s") % {"condition": words, "time": lasting}
    if figure.column == ASLEEP and figure.above is not None:
        return _("%(condition)s for %(time)s") % {"condition": _("Asleep"), "time": lasting}
    limit = figure.above if figure.above is not None else figure.below
    text = _("%(figure)s above %(limit)s for %(time)s")
    if figure.above is None:
        text = _("%(figure)s below %(limit)s for %(time)s")
    unit = FIGURES.get(figure.column, "").replace("degC", "°C")
    bound = f"{limit:g}{figures.NARROW_SPACE}{unit}".strip()
    return text % {"figure": figure_name(figure.column), "limit": bound, "time": lasting}


@register.simple_tag
def ladder(document: RuleDocument) -> SafeString:
    """The steps of a rule, one after the other, to the work order."""
    cures = [*document.steps, *([Cure.WORK_ORDER] if document.work_order else [])]
    steps = format_html_join("", "<li>{}</li>", ((cure_mark(cure.value),) for cure in cures))
    return format_html('<ol class="ladder">{}</ol>', steps)


@register.simple_tag
def hours_chart(hours: Sequence[Mapping[str, int]], small: str = "") -> SafeString:
    """What was begun in each of 24 hours, one bar each, by what it was; the last bar is the hour that runs."""
    height = 40 if small else CHART_H
    most = max((sum(hour.values()) for hour in hours), default=0)
    bars: list[tuple[Any, ...]] = []
    width = CHART_W / max(1, len(hours))
    for number, hour in enumerate(hours):
        low = float(height)
        for cure in Cure:
            count = hour.get(cure.value, 0)
            if count:
                tall = (height - 4) * count / most
                low -= tall
                bars.append(
                    (
                        CURE_STYLES[cure],
                        round(number * width + 2, 1),
                        round(low, 1),
                        round(width - 4, 1),
                        round(tall, 1),
                    )
                )
    total = sum(sum(hour.values()) for hour in hours)
    label = _("%(n)d in the last 24 hours, %(most)d in the fullest hour") % {"n": total, "most": most}
    grid = format_html_join(
        "",
        '<line x1="{0}" x2="{0}" y1="0" y2="{1}"/>',
        ((round(place * width, 1), height) for place in range(0, len(hours) + 1, 6)),
    )
    rects = format_html_join("", '<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="1.5"/>', bars)
    return format_html(
        '<svg class="heal-hours{}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<g class="grid-lines">{}</g>{}</svg>',
        " small" if small else "",
        CHART_W,
        height,
        label,
        grid,
        rects,
    )


@register.simple_tag
def timeline(lanes: Iterable[Lane], since: datetime, until: datetime) -> SafeString:
    """One line for each machine, from the beginning of a replay to its end, with a mark for each thing done."""
    lines = list(lanes)
    span_ms = max(1.0, (until - since).total_seconds() * 1000)
    first_ms = since.timestamp() * 1000

    def place(at_ms: float) -> float:
        return round(LINE_W * (at_ms - first_ms) / span_ms, 1)

    parts: list[SafeString] = []
    for number, lane in enumerate(lines):
        y = number * LANE_H + LANE_H / 2
        parts.append(format_html('<line class="lane" x1="0" x2="{}" y1="{}" y2="{}"/>', LINE_W, y, y))
        for mark in lane.marks:
            ended = min(mark.ended_ms or mark.at_ms, until.timestamp() * 1000)
            parts.append(
                format_html(
                    '<g class="{}"><rect class="until" x="{}" y="{}" width="{}" height="8" rx="4"/>'
                    '<path class="dot" d="M{} {}h.01"/><title>{} · {} · {}</title></g>',
                    CURE_STYLES[Cure(mark.cure)],
                    place(mark.at_ms),
                    y - 4,
                    max(0.0, round(place(ended) - place(mark.at_ms), 1)),
                    place(mark.at_ms),
                    y,
                    healing_wording.CURES[Cure(mark.cure)],
                    figures.moment_text(datetime.fromtimestamp(mark.at_ms / 1000, UTC)),
                    healing_wording.OUTCOMES[Outcome(mark.outcome)],
                )
            )
    return format_html(
        '<svg class="heal-line" viewBox="-6 0 {} {}" height="{}" preserveAspectRatio="none" role="img"'
        ' aria-label="{}">{}</svg>',
        LINE_W + 12,
        max(LANE_H, LANE_H * len(lines)),
        max(LANE_H, LANE_H * len(lines)),
        _("What the rules would have done, machine by machine"),
        format_html_join("", "{}", ((part,) for part in parts)),
    )


@register.simple_tag
def hour_marks(since: datetime, until: datetime) -> SafeString:
    """The times below a line: five of them."""
    step = (until - since) / 4
    texts = [timezone.localtime(since + step * number) for number in range(5)]
    form = "H:i" if (until - since).days < 2 else "j N H:i"
    return format_html(
        '<div class="heal-times" aria-hidden="true">{}</div>',
        format_html_join("", "<span>{}</span>", ((date_format(each, form),) for each in texts)),
    )


@register.simple_tag
def lasting(since: datetime, until: datetime) -> str:
    """How long it was from one moment to another."""
    return figures.span((until - since).total_seconds())


@register.filter
def moment_of(at_ms: int) -> str:
    """A moment in milliseconds since 1970, as people write it."""
    return figures.moment_text(datetime.fromtimestamp(at_ms / 1000, UTC))


@register.filter
def item_at(items: Sequence[str], place: int) -> str:
    """An item of a list; empty where there are not so many."""
    return items[place] if place < len(items) else ""
