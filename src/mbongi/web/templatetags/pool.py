"""How templates draw what only the pool has: intervals, stacked bars, luck, quantiles, states of blocks."""

import math
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from django import template
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from mbongi.pool import wording
from mbongi.pool.rules.firmware import UNNAMED
from mbongi.pool.selectors import BlockRow, ChangeRow
from mbongi.pool.telemetry import RejectRow
from mbongi.pool.values import DONATION_ACCOUNT, FEE_ACCOUNT, FLOAT_ACCOUNT, RESERVE_ACCOUNT, UNKNOWN_WORKER
from mbongi.web import figures
from mbongi.web.templatetags.mbongi import chip, sat

register = template.Library()

SHORT = 8
_LUCK_MOST = 8.0
_LOW_MS, _HIGH_MS = 0.1, 10_000.0


@register.simple_tag
def interval(left: float, width: float, at: float) -> SafeString:
    """A bar from 0 to 100 with a range and a point in it."""
    return format_html(
        '<svg class="interval" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="range" x="{}" y="0" width="{}" height="8"/><rect class="point" x="{}" y="0" width="0.8"'
        ' height="8"/></svg>',
        f"{left:.2f}",
        f"{max(width, 0.5):.2f}",
        f"{min(max(at - 0.4, 0.0), 99.2):.2f}",
    )


@register.simple_tag
def compact(value: float | None, unit: str) -> SafeString:
    """A figure in the step of its unit that reads best, for a line of text."""
    text, step = figures.scaled(value, unit)
    return format_html(
        '<span class="nowrap">{}<span class="unit">{}{}</span></span>', text, figures.NARROW_SPACE if step else "", step
    )


@register.simple_tag
def percent(ratio: float | None) -> str:
    """A ratio as whole per cent."""
    return figures.with_unit(None if ratio is None else 100 * ratio, "%")


@register.simple_tag
def firmware(agent: str) -> str:
    """What a miner says it runs."""
    return {UNNAMED: _("unnamed"), "other": _("others")}.get(agent, agent)


@register.simple_tag
def stacked(row: RejectRow, rows: Sequence[RejectRow]) -> SafeString:
    """A row's rejects by reason, on the scale of the row with the highest part."""
    top = max((each.pct for each in rows), default=0.0) or 1.0
    total, left, parts = row.accepted + row.rejected, 0.0, []
    for place, reason in enumerate(wording.REASONS, 1):
        width = 100 * (100 * row.reasons[reason] / total) / top if total else 0.0
        parts.append((place, f"{left:.2f}", f"{width:.2f}"))
        left += width
    rects = format_html_join("", '<rect class="k{}" x="{}" y="0" width="{}" height="6"/>', parts)
    return format_html(
        '<svg class="stacked" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">{}</svg>', rects
    )


@register.simple_tag
def log_dots(values: Sequence[float | None]) -> SafeString:
    """Durations [ms] as points on a logarithmic line from a tenth of a millisecond to ten seconds."""
    known = [_place(value) for value in values if value is not None]
    if not known:
        return SafeString("")
    dots = format_html_join("", '<rect class="dot" x="{}" y="3" width="1.2" height="8" rx="0.6"/>', (
        (f"{each - 0.6:.2f}",) for each in known
    ))  # fmt: skip
    return format_html(
        '<svg class="dots" viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true"><rect class="axis" x="0"'
        ' y="5" width="100" height="4"/><rect class="range" x="{}" y="5" width="{}" height="4"/>{}</svg>',
        f"{known[0]:.2f}",
        f"{max(known[-1] - known[0], 0.1):.2f}",
        dots,
    )


def _place(value_ms: float) -> float:
    within = min(max(value_ms, _LOW_MS), _HIGH_MS)
    return 0.6 + 98.8 * math.log(within / _LOW_MS) / math.log(_HIGH_MS / _LOW_MS)


@register.simple_tag
def quantile_facts(values: Sequence[float | None]) -> SafeString:
    """The same in words."""
    names = (_("half"), "90 %", "99 %", _("longest"))
    return format_html_join(
        "",
        "<div><dt>{}</dt><dd>{}</dd></div>",
        ((name, duration(value)) for name, value in zip(names, values, strict=True)),
    )


def duration(value_ms: float | None) -> str:
    """A duration in milliseconds, or seconds where it is long."""
    if value_ms is None:
        return figures.NOTHING
    if value_ms >= 1000:
        return figures.with_unit(value_ms / 1000, "s", 1)
    return figures.with_unit(value_ms, "ms", 1 if value_ms < 10 else 0)


@register.simple_tag
def standing(word: str) -> wording.Words:
    """A node's standing."""
    return wording.standing_words(word)


@register.simple_tag
def block_chip(state: Any) -> SafeString:
    """A block's state as shape, colour and word."""
    return chip(wording.BLOCKS[state])


@register.simple_tag
def block_words(state: Any) -> Promise:
    """A block's state in words."""
    return wording.BLOCKS[state].label


@register.simple_tag
def payment_chip(state: Any) -> SafeString:
    """A payout's state as shape, colour and word."""
    return chip(wording.PAYMENTS[state])


@register.simple_tag
def payment_style(state: Any) -> str:
    """The style of a payout's state."""
    return wording.PAYMENTS[state].style


@register.simple_tag
def change_words(change: ChangeRow) -> Promise:
    """What a change of a balance records."""
    return wording.entry_words(change.kind, change.key)


@register.simple_tag
def change_source(change: ChangeRow, is_public: Any) -> SafeString:
    """Where a change comes from: its block or its payout, as a link for who may follow it; else its key by its ends."""
    kind, _colon, number = change.key.partition(":")
    if change.block_hash:
        words, url = format_html("{} {}", _("block"), short(change.block_hash)), f"/pool/blocks/{change.block_hash}/"
    elif kind == "payment" and number.isdigit():
        words, url = format_html("{} {}", _("payout"), number), f"/pool/payouts/{number}/"
    else:
        return short(change.key)
    return words if is_public else format_html('<a href="{}">{}</a>', url, words)


@register.simple_tag
def person(name: str, actor: str) -> str:
    """Who did it: a person's name, else a program's in words, else as the ledger names it."""
    return name or str(wording.PERSONS.get(actor, actor))


@register.filter
def count_text(value: float) -> str:
    """A number without a unit: a whole one as such, else in the digits that read best."""
    return figures.number(value) if float(value).is_integer() else figures.scaled(value, "")[0]


@register.filter
def reason_words(reason: str) -> str:
    """A reason from the record, a program's in the reader's language."""
    return wording.reason_words(reason)


@register.filter
def node_reason_words(reason: str) -> str:
    """What is wrong with a node, in the reader's language."""
    return wording.node_reason_words(reason)


@register.simple_tag
def reject_counts(row: RejectRow) -> SafeString:
    """How many shares were rejected for which reason, in the colours of the bar."""
    found = ((place, label, row.reasons[name]) for place, (name, label) in enumerate(wording.REASONS.items(), 1))
    return format_html_join(
        " ",
        '<span class="nowrap k{}"><i class="key-dot"></i>{} {}</span>',
        ((place, figures.number(count), label) for place, label, count in found if count),
    )


@register.simple_tag
def scheme_words(scheme: Any) -> str:
    """How a reward is divided."""
    return wording.SCHEMES.get(scheme, figures.NOTHING)


@register.simple_tag
def short(text: str) -> SafeString:
    """A hash by its ends."""
    if len(text) <= 2 * SHORT + 1:
        return format_html('<span class="mono">{}</span>', text)
    return format_html('<span class="mono" title="{}">{}…{}</span>', text, text[:SHORT], text[-SHORT:])


@register.simple_tag
def worker_link(worker: str) -> SafeString:
    """A worker's name as a link to its page; without a name it is another's."""
    if not worker:
        return format_html('<span class="muted">{}</span>', _("another's"))
    return format_html('<a href="/pool/worker/?name={}">{}</a>', quote(worker, safe=""), worker)


@register.simple_tag
def account_link(account: str) -> SafeString:
    """An account's name as a link to its page; the pool's own by what they are; without a name it is another's."""
    if not account:
        return format_html('<span class="muted">{}</span>', _("another's"))
    return format_html('<a href="/pool/account/{}/">{}</a>', quote(account, safe=""), account_name(account))


@register.simple_tag
def reward(block: BlockRow) -> SafeString:
    """Subsidy and fees of a block."""
    known = block.subsidy_sat is not None and block.fees_sat is not None
    return sat(block.subsidy_sat + block.fees_sat if known else None)  # type: ignore[operator]


def _luck_place(ratio: float) -> float:
    """Where a luck lies between 0 and 1: in the middle as expected, at the ends eight times that, and an eighth."""
    return 0.5 + math.log2(min(max(ratio, 1 / _LUCK_MOST), _LUCK_MOST)) / (2 * math.log2(_LUCK_MOST))


@register.simple_tag
def luck_bar(ratio: float | None) -> SafeString:
    """A block's luck: from the middle to the right where it is good, to the left where it is bad, logarithmic."""
    if ratio is None:
        return format_html('<span class="muted">{}</span>', figures.NOTHING)
    end = 100 * _luck_place(ratio)
    return format_html(
        '<span><svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect class="{}" x="{}" y="0"'
        ' width="{}" height="8"/><rect class="line" x="49.3" y="0" width="1.4" height="8"/></svg>{}</span>',
        "good" if ratio >= 1 else "bad",
        f"{min(end, 50):.1f}",
        f"{abs(end - 50):.1f}",
        luck_text(ratio),
    )


def luck_text(ratio: float) -> str:
    """Luck in per cent, as a multiple where it is very good."""
    return str(percent(ratio)) if ratio < 10 else figures.with_unit(ratio, "×")


@register.simple_tag
def part_pct(part: float, whole: float) -> str:
    """A part of a whole in per cent."""
    return figures.with_unit(100 * float(part) / float(whole) if whole else None, "%", 2)


@register.simple_tag
def rate_bar(rate: Any, top: float) -> SafeString:
    """A hashrate's interval on a scale that ends at ``top``."""
    return interval(100 * rate.low / top, 100 * (rate.high - rate.low) / top, 100 * rate.value / top)


@register.simple_tag
def account_name(account: str) -> str:
    """An account's name; the pool's own by what they are."""
    names = {
        FEE_ACCOUNT: _("Pool's fees"),
        DONATION_ACCOUNT: _("Donations"),
        RESERVE_ACCOUNT: _("Reserve"),
        FLOAT_ACCOUNT: _("Operator's own coins"),
        UNKNOWN_WORKER: _("Unknown workers"),
    }
    return names.get(account, account)


@register.simple_tag
def part_bar(part: float, top: float) -> SafeString:
    """A bar as long as a part of the largest."""
    width = 100 * max(float(part), 0.0) / float(top) if top else 0.0
    return format_html(
        '<svg class="stacked" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect class="k1" x="0"'
        ' y="0" width="{}" height="6"/></svg>',
        f"{min(width, 100.0):.2f}",
    )


@register.simple_tag
def luck_bars(blocks: Sequence[BlockRow]) -> SafeString:
    """The luck of blocks one after the other, up from the middle where it is good; logarithmic, as ``luck_bar``."""
    step = 100 / max(len(blocks), 24)
    known = ((place, row.height, row.luck) for place, row in enumerate(blocks) if row.luck is not None)
    rects = format_html_join(
        "",
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>',
        (
            (
                "good" if ratio >= 1 else "bad",
                f"{place * step + 0.15 * step:.3f}",
                f"{40 - 40 * max(_luck_place(ratio), 0.5):.2f}",
                f"{0.7 * step:.3f}",
                f"{max(40 * abs(_luck_place(ratio) - 0.5), 0.3):.2f}",
                height,
                luck_text(ratio),
            )
            for place, height, ratio in known
        ),
    )
    return format_html(
        '<svg class="lucks" viewBox="0 0 100 40" preserveAspectRatio="none" aria-hidden="true">{}<rect class="line"'
        ' x="0" y="19.8" width="100" height="0.4"/></svg>',
        rects,
    )


@register.simple_tag
def fee_rate(sat_kvb: int) -> str:
    """A fee rate in satoshis by virtual byte."""
    return figures.number(sat_kvb / 1000, 0 if sat_kvb % 1000 == 0 else 2)


@register.simple_tag
def short_of(mapping: Any, key: Any) -> SafeString:
    """The short form of what stands under a key."""
    return short(str(mapping.get(key, "")))


@register.simple_tag
def payment_words(state: Any) -> Promise:
    """A payout's state in words."""
    return wording.PAYMENTS[state].label
