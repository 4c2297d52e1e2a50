"""QR codes as SVG, drawn from the library's matrix: one path, no picture to load."""

import qrcode
from django.utils.html import format_html
from django.utils.safestring import SafeString
from qrcode.constants import ERROR_CORRECT_M

QUIET = 4
"""Light modules around the code, as ISO/IEC 18004 wants them."""


def qr_svg(text: str, label: str) -> SafeString:
    """The code of a text, up to some 2,000 bytes; ``label`` is what it is called for who cannot see it."""
    code = qrcode.QRCode(error_correction=ERROR_CORRECT_M, border=QUIET)
    code.add_data(text)
    code.make(fit=True)
    matrix = code.get_matrix()
    return format_html(
        '<svg class="qr" viewBox="0 0 {0} {0}" role="img" aria-label="{1}" shape-rendering="crispEdges">'
        '<rect width="{0}" height="{0}" fill="#fff"/><path d="{2}" fill="#000"/></svg>',
        len(matrix),
        label,
        path_of(matrix),
    )


def path_of(matrix: list[list[bool]]) -> str:
    """The dark modules as one path: a bar for each run of them in a row."""
    bars = []
    for y, row in enumerate(matrix):
        x = 0
        while x < len(row):
            start = x
            while x < len(row) and row[x]:
                x += 1
            if x > start:
                bars.append(f"M{start} {y}h{x - start}v1h-{x - start}z")
            x += 1
    return "".join(bars)
