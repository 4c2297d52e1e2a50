"""A statement on paper: what was promised, what was, what it costs, and how to add it up again.

Drawn in the reader's present language with the fonts that every PDF reader has, so in the letters of Latin-1 alone.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from fpdf import FPDF
from fpdf.enums import XPos, YPos

from mbongi.fleet.hosting_wording import CHARGES, CLASSES, CURTAILMENTS
from mbongi.fleet.rules.hosting_bill import Charge, ChargeKind, Sums
from mbongi.fleet.rules.hosting_terms import EXCUSED, currencies
from mbongi.fleet.statement_document import Document

MACHINES_MAX = 400
"""Machines listed on paper; the sheet has all."""
EXCUSES_MAX = 200
DIFFERENCES_MAX = 200
_INK, _SOFT, _LINE, _FILL = (24, 30, 38), (98, 108, 120), (208, 213, 219), (244, 246, 248)
_PLAIN = str.maketrans({"\u202f": " ", "\u00a0": " ", "’": "'", "−": "-", "→": ">", "≥": ">=", "≤": "<="})
_WIDTH = 180.0


def number(value: Decimal | int, decimals: int) -> str:
    """A figure as readers of the present language write it."""
    return number_format(value, decimal_pos=decimals, use_l10n=True, force_grouping=True)


def milli(value: int | None) -> str:
    """Thousandths as a figure with three decimals; a dash where there is none."""
    return "–" if value is None else number(Decimal(value) / 1000, 3)


def percent(ppm: int | None) -> str:
    """Millionths as percent, every digit of it; a dash where there is none."""
    return "–" if ppm is None else f"{number(Decimal(ppm) / 10_000, 4)} %"


def share(ppm: int) -> str:
    """Millionths of the terms as percent, with no more decimals than there are."""
    value = (Decimal(ppm) / 10_000).normalize()
    return f"{number(value, max(0, -int(value.as_tuple().exponent)))} %"


def hours(seconds: int) -> str:
    """Seconds as hours, minutes and seconds."""
    return f"{number(seconds // 3600, 0)} h {seconds % 3600 // 60:02d} min {seconds % 60:02d} s"


def money(minor: int, currency: str) -> str:
    """An amount of minor units with its currency."""
    decimals = currencies()[currency]
    return f"{number(Decimal(minor) / 10**decimals, decimals)} {currency}"


class _Paper(FPDF):
    """A4 with the statement's name and the page's number at the foot of each page."""

    def __init__(self, document: Document) -> None:
        super().__init__(format="A4")
        self._of = document
        self.set_margins(15, 14)
        self.set_auto_page_break(auto=True, margin=18)
        self.set_title(plain(f"{_('Statement')} {document.label}"))
        self.set_creation_date(document.closed_at)
        self.set_producer("Mbongi")
        self.add_page()

    def footer(self) -> None:
        """The foot of a page."""
        self.set_y(-14)
        self._write(f"{_('Statement')} {self._of.label} · SHA-256 {self._of.sheet_sha256}", size=6.5, colour=_SOFT)
        self.set_y(-14)
        self.cell(0, 5, f"{self.page_no()}", align="R")

    def _write(self, text: str, *, size: float = 9, bold: bool = False, colour: tuple[int, int, int] = _INK) -> None:
        self.set_font("Helvetica", "B" if bold else "", size)
        self.set_text_color(*colour)
        self.cell(0, size * 0.55, plain(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def heading(self, text: str) -> None:
        """A section's heading, never alone at the end of a page."""
        if self.get_y() > self.h - 50:
            self.add_page()
        self.ln(5)
        self._write(text, size=11, bold=True)
        self.ln(1.5)

    def title_lines(self, lines: Sequence[str]) -> None:
        """The head of the first page."""
        self._write(lines[0], size=16, bold=True)
        self.ln(1)
        for line in lines[1:]:
            self._write(line, size=9, colour=_SOFT)

    def pairs(self, rows: Sequence[tuple[str, str]], *, strong_last: bool = False) -> None:
        """Names with their figures at the right."""
        for place, (name, value) in enumerate(rows):
            bold = strong_last and place == len(rows) - 1
            self.set_font("Helvetica", "B" if bold else "", 9)
            self.set_text_color(*(_INK if bold else _SOFT))
            self.set_draw_color(*_LINE)
            self.cell(_WIDTH * 0.62, 6, plain(name), border="B")
            self.set_text_color(*_INK)
            self.cell(_WIDTH * 0.38, 6, plain(value), border="B", align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def rows(self, heads: Sequence[str], widths: Sequence[float], rows: Sequence[Sequence[str]], texts: int) -> None:
        """A table; the first ``texts`` columns are texts, the others figures."""
        self._row(heads, widths, texts, head=True)
        for row in rows:
            if self.get_y() > self.h - 24:
                self.add_page()
                self._row(heads, widths, texts, head=True)
            self._row(row, widths, texts)

    def _row(self, cells: Sequence[str], widths: Sequence[float], texts: int, *, head: bool = False) -> None:
        self.set_font("Helvetica", "B" if head else "", 7.5)
        self.set_text_color(*(_SOFT if head else _INK))
        self.set_fill_color(*_FILL)
        self.set_draw_color(*_LINE)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            text = self._fitted(plain(cell), width - 2)
            self.cell(width, 5.4, text, border="B", align="L" if place < texts else "R", fill=head)
        self.ln(5.4)

    def _fitted(self, text: str, width: float) -> str:
        if self.get_string_width(text) <= width:
            return text
        while text and self.get_string_width(text + "...") > width:
            text = text[:-1]
        return text + "..."

    def note(self, text: str) -> None:
        """A paragraph in small letters."""
        self.set_font("Helvetica", "", 8)
        self.set_text_color(*_SOFT)
        self.multi_cell(0, 4.1, plain(text), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(1)


def plain(text: str) -> str:
    """A text in the letters that the fonts have; any other letter becomes a question mark."""
    return text.translate(_PLAIN).replace("–", "-").encode("latin-1", "replace").decode("latin-1")


def statement_pdf(document: Document) -> bytes:
    """The statement as PDF, in the present language."""
    paper = _Paper(document)
    zone = ZoneInfo(document.zone)
    paper.title_lines([
        f"{_('Statement')} {document.label}",
        f"{document.site} · {_('hosting of the machines of')} {document.tenant} · {document.contract}",
        _("Month %(month)s: from %(since)s until before %(until)s (%(zone)s); version %(terms)d of the contract") % {
            "month": document.month, "since": _time(document.since, zone), "until": _time(document.until, zone),
            "zone": document.zone, "terms": document.terms_version,
        },
        _("Closed on %(time)s; version %(version)d of this month") % {
            "time": _time(document.closed_at, zone), "version": document.version,
        },
    ])  # fmt: skip
    _differences(paper, document)
    _bill(paper, document)
    _uptime(paper, document)
    _machines(paper, document)
    _excuses(paper, document, zone)
    _reckoning(paper, document)
    return bytes(paper.output())


def _time(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"


def _differences(paper: _Paper, document: Document) -> None:
    if document.version == 1:
        return
    paper.heading(_("What this version corrects"))
    paper.note(_("Reason: %(reason)s") % {"reason": document.reason})
    shown = document.differences[:DIFFERENCES_MAX]
    rows = [(one.name, str(one.before), str(one.after)) for one in shown]
    paper.rows((_("Figure"), _("Before"), _("Now")), (90, 45, 45), rows, 1)
    if len(shown) < len(document.differences):
        paper.note(_("And %(count)d more figures.") % {"count": len(document.differences) - len(shown)})


def _bill(paper: _Paper, document: Document) -> None:
    bill, currency = document.bill, document.terms.currency
    paper.heading(_("Charges"))
    rows = [(_charge_text(charge, document), money(charge.amount_minor, currency)) for charge in bill.charges]
    rows.append((_("Charges together"), money(bill.charges_minor, currency)))
    credit = _("Credit for uptime: %(share)s of the charges") % {"share": share(bill.credit_ppm)}
    rows += [(credit, money(-bill.credit_minor, currency)), (_("To pay"), money(bill.total_minor, currency))]
    paper.pairs(rows, strong_last=True)


def _charge_text(charge: Charge, document: Document) -> str:
    price = money(charge.price_minor, document.terms.currency)
    if charge.kind is ChargeKind.ENERGY:
        text = _("%(what)s: %(energy)s kWh, %(price)s per 1,000 kWh")
        return text % {"what": CHARGES[charge.kind], "energy": milli(charge.quantity), "price": price}
    months = number(Decimal(charge.quantity) / document.month_s, 4)
    text = _("%(what)s: %(months)s machine-months, %(price)s each")
    return text % {"what": CHARGES[charge.kind], "months": months, "price": price}


def _uptime(paper: _Paper, document: Document) -> None:
    sums = document.sums
    paper.heading(_("Uptime and hash-hours"))
    rows = [
        (_("Promised uptime"), share(document.terms.uptime_ppm)),
        *(
            (_("Credit below %(below)s") % {"below": share(step.below_ppm)}, share(step.credit_ppm))
            for step in document.terms.credits
        ),
        (_("Uptime: up by up and not excused"), percent(sums.uptime_ppm)),
        (_("Had all unknown time been down, or up"), _bounds(sums)),
        (_("Under contract"), hours(sums.seconds)),
        (_("Up"), hours(sums.up_s)),
        *(
            (_("Down, excused: %(name)s") % {"name": CLASSES[klass]}, hours(sums.excused_s[klass]))
            for klass in EXCUSED
            if sums.excused_s[klass]
        ),
        (_("Down, not excused"), hours(sums.unexcused_s)),
        (_("Unknown: not seen by our monitoring"), hours(sums.unknown_s)),
        (_("Hash-hours"), f"{milli(sums.hash_milli)} TH/s·h"),
        (_("Promised hash-hours, for the time owed"), f"{milli(document.promised_milli)} TH/s·h"),
        (_("Energy"), f"{milli(sums.energy_wh)} kWh"),
    ]
    if sums.pool_milli is not None:
        rows.append((_("Seen by the site's pool"), f"{milli(sums.pool_milli)} TH/s·h"))
    paper.pairs(rows)


def _bounds(sums: Sums) -> str:
    return f"{percent(sums.uptime_low_ppm)} – {percent(sums.uptime_high_ppm)}"


def _machines(paper: _Paper, document: Document) -> None:
    paper.heading(_("Machines"))
    rows = [
        (
            *(each.name, each.model, each.serial, percent(each.sums.uptime_ppm)),
            *(_h(each.sums.excused_all_s), _h(each.sums.unexcused_s), _h(each.sums.unknown_s)),
            *(milli(each.sums.hash_milli), milli(each.sums.energy_wh)),
        )
        for each in document.machines[:MACHINES_MAX]
    ]
    heads = (
        *(_("Machine"), _("Model"), _("Serial number"), _("Uptime"), _("Excused h"), _("Down h"), _("Unknown h")),
        *("TH/s·h", "kWh"),
    )
    paper.rows(heads, (18, 25, 33, 19, 17, 15, 17, 19, 17), rows, 3)
    if len(document.machines) > MACHINES_MAX:
        paper.note(_("And %(count)d more machines; the sheet has all.") % {
            "count": len(document.machines) - MACHINES_MAX
        })  # fmt: skip


def _h(seconds: int) -> str:
    return number(Decimal(seconds) / 3600, 2)


def _excuses(paper: _Paper, document: Document, zone: ZoneInfo) -> None:
    if not document.excuses:
        return
    paper.heading(_("What excuses downtime"))
    shown = document.excuses[:EXCUSES_MAX]
    rows = [
        (
            str(CLASSES[one.klass]),
            _time(one.since, zone),
            _time(one.until, zone),
            one.note or one.cause,
            str(one.machines),
        )
        for one in shown
    ]
    heads = (_("Class"), _("From"), _("Until before"), _("Note and evidence"), _("Machines"))
    paper.rows(heads, (34, 28, 28, 72, 18), rows, 4)
    if len(shown) < len(document.excuses):
        paper.note(_("And %(count)d more.") % {"count": len(document.excuses) - len(shown)})


def _reckoning(paper: _Paper, document: Document) -> None:
    paper.heading(_("How this was reckoned"))
    terms = document.terms
    paper.note(
        _(
            "A machine is up while it says itself that it hashes; off, faulty, starting, asleep or silent it is down."
            " What nobody asked it is unknown, and counts neither way. Uptime is up seconds by up seconds and those"
            " down and not excused; it is compared exactly and shown rounded down."
        )
    )
    paper.note(
        _(
            "Hash-hours and energy are what the machines state, over time; each machine's day is rounded once, half to"
            " even, and all sums are sums of those. Each amount of money is rounded once, half to even, to the"
            " currency's smallest unit."
        )
    )
    paper.note(
        _("The sheet (CSV) has %(lines)d lines, one per machine and day, that add up to this; its SHA-256 is %(hash)s.")
        % {"lines": document.lines, "hash": document.sheet_sha256}
    )
    paper.note(_("Curtailment: %(how)s") % {"how": CURTAILMENTS[terms.curtailment]})
    missing = sum(not each.has_nominal for each in document.machines)
    if missing and terms.nominal_ppm is not None:
        paper.note(
            _("Of %(count)d machines no nominal rate is known: nothing is promised for them.") % {"count": missing}
        )
    if document.unread_days:
        paper.note(
            _("Of %(count)d machine-days there is no record: they are unknown.") % {"count": document.unread_days}
        )
