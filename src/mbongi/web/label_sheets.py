"""Sheets of labels as PDF: a QR code and a few lines each, on the sheets that shops sell."""

from collections.abc import Sequence
from dataclasses import dataclass

import qrcode
from fpdf import FPDF
from qrcode.constants import ERROR_CORRECT_M

from mbongi.web.qr import QUIET

FONT = "Helvetica"
"""One of the fonts that every reader of PDF has; it knows Latin-1."""
LABELS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet of labels; all lengths in millimetres. ``left`` and ``top`` are of the first label's corner."""

    page: str
    columns: int
    rows: int
    width: float
    height: float
    left: float
    top: float
    column_gap: float = 0.0
    row_gap: float = 0.0

    @property
    def labels(self) -> int:
        """How many a sheet holds."""
        return self.columns * self.rows


SHEETS = {
    "a4-3x8": Sheet("A4", 3, 8, 70.0, 37.0, 0.0, 0.5),
    "a4-2x7": Sheet("A4", 2, 7, 99.1, 38.1, 4.65, 15.15, column_gap=2.5),
    "a4-3x7": Sheet("A4", 3, 7, 63.5, 38.1, 7.25, 15.15, column_gap=2.5),
    "a4-5x13": Sheet("A4", 5, 13, 38.1, 21.2, 4.75, 10.7, column_gap=2.5),
    "letter-3x10": Sheet("Letter", 3, 10, 66.7, 25.4, 4.8, 12.7, column_gap=3.2),
}
"""Sizes of common sheets, as their makers state them."""


@dataclass(frozen=True, slots=True)
class Label:
    """What a label says: ``name`` large, ``below`` smaller; ``url`` in its code."""

    name: str
    below: Sequence[str]
    url: str


def draw(labels: Sequence[Label], sheet: Sheet, *, first: int = 1, title: str = "") -> bytes:
    """The sheets as PDF. ``first``: where the first label goes, counted from 1, for a sheet that is begun already."""
    pdf = FPDF(unit="mm", format=sheet.page)
    pdf.set_auto_page_break(auto=False)
    pdf.set_margin(0)
    pdf.set_title(title)
    for number, label in enumerate(labels, start=first - 1):
        place = number % sheet.labels
        if place == 0 or pdf.page == 0:
            pdf.add_page()
        row, column = divmod(place, sheet.columns)
        x = sheet.left + column * (sheet.width + sheet.column_gap)
        y = sheet.top + row * (sheet.height + sheet.row_gap)
        _draw(pdf, label, sheet, x, y)
    if pdf.page == 0:
        pdf.add_page()
    return bytes(pdf.output())


def _draw(pdf: FPDF, label: Label, sheet: Sheet, x: float, y: float) -> None:
    edge = min(2.0, sheet.height / 12)
    side = min(sheet.height - 2 * edge, sheet.width * 0.48)
    _draw_code(pdf, label.url, x + edge, y + (sheet.height - side) / 2, side)
    left, room = x + edge + side + 1, sheet.width - side - 2 * edge - 1
    size = max(6.0, min(15.0, sheet.height * 0.36))
    lines = [(label.name, "B", size), *((text, "", size * 0.62) for text in label.below if text)]
    heights = [points * 0.44 for _text, _style, points in lines]
    top = y + (sheet.height - sum(heights)) / 2
    for (text, style, points), height in zip(lines, heights, strict=True):
        _draw_text(pdf, text, style, points, left, top, room, height)
        top += height


def _draw_text(pdf: FPDF, text: str, style: str, points: float, x: float, y: float, room: float, height: float) -> None:
    shown = text.encode("latin-1", "replace").decode("latin-1")
    pdf.set_font(FONT, style, points)
    while pdf.get_string_width(shown) > room and points > 4:
        points -= 0.5
        pdf.set_font(FONT, style, points)
    while shown and pdf.get_string_width(shown) > room:
        shown = shown[:-1]
    pdf.set_xy(x, y)
    pdf.cell(room, height, shown)


def _draw_code(pdf: FPDF, text: str, x: float, y: float, side: float) -> None:
    code = qrcode.QRCode(error_correction=ERROR_CORRECT_M, border=QUIET)
    code.add_data(text)
    code.make(fit=True)
    matrix = code.get_matrix()
    unit = side / len(matrix)
    pdf.set_fill_color(0)
    for row, modules in enumerate(matrix):
        column = 0
        while column < len(modules):
            start = column
            while column < len(modules) and modules[column]:
                column += 1
            if column > start:
                # A hair wider, or readers show white lines between the bars.
                pdf.rect(x + start * unit, y + row * unit, (column - start) * unit, unit * 1.02, style="F")
            column += 1
