"""Texts stand out from what is behind them in both themes: 4.5 to 1 at least, WCAG 2.2, success criterion 1.4.3."""

import re
from pathlib import Path

import pytest

from mbongi import web

CSS = Path(web.__file__).parent / "static/mbongi/css"
STATES = ("mining", "sleeping", "starting", "off", "unknown", "fault")
PAIRS = [
    *((ink, behind) for ink in ("ink", "ink-2", "ink-3") for behind in ("surface", "ground", "sunken")),
    *((state, behind) for state in STATES for behind in ("surface", f"{state}-soft")),
    ("accent-strong", "accent-soft"),
    ("on-accent", "accent"),
]


def colours(theme: str) -> dict[str, str]:
    """The theme's colours by name, such as ``ink-3: #626e68``; the dark ones replace the light ones."""
    names = ("tokens.css", "dark.css") if theme == "dark" else ("tokens.css",)
    text = "".join((CSS / name).read_text(encoding="utf-8") for name in names)
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})\b", text))


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2.2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_the_measure_is_the_standards() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # the best known grey that just fails


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_stands_out(theme: str) -> None:
    known = colours(theme)
    ratios = {f"{ink} on {behind}": round(contrast(known[ink], known[behind]), 2) for ink, behind in PAIRS}

    assert {pair: ratio for pair, ratio in ratios.items() if ratio < 4.5} == {}
