"""The French catalogue is complete, and figures read as people of the language write them."""

import ast
import re
from datetime import timedelta
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from django.utils import translation
from django.utils.translation.template import templatize

from mbongi.base.clock import utc_now
from mbongi.web import figures
from mbongi.web.catalogues import LOCALE
from mbongi.web.context import initials

PACKAGE = LOCALE.parent
_NAMES = {"_", "gettext", "gettext_lazy", "ngettext", "_now"}
_FIELD = re.compile(r"%\((\w+)\)|\{(\w+)\}")


def catalogue() -> Catalog:
    """The French texts."""
    with (LOCALE / "fr" / "LC_MESSAGES" / "django.po").open("rb") as file:
        return read_po(file)


def marked_in_python(path: Path) -> set[str]:
    """The texts that a module marks for translation."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    marked = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in _NAMES and call.args]
    return {call.args[0].value for call in marked if isinstance(call.args[0], ast.Constant)}  # type: ignore[misc]


def marked_in_template(path: Path) -> set[str]:
    """The texts that a template marks for translation."""
    source = templatize(path.read_text(encoding="utf-8"), origin=str(path))
    found = re.findall(r"gettext\((u?'(?:[^'\\]|\\.)*'|u?\"(?:[^\"\\]|\\.)*\")", source)
    return {ast.literal_eval(text) for text in found}


def test_every_text_is_in_french() -> None:
    known = catalogue()
    marked = {text for path in PACKAGE.rglob("*.py") for text in marked_in_python(path)}
    marked |= {text for path in PACKAGE.rglob("*.html") for text in marked_in_template(path)}
    assert len(marked) > 400
    missing = sorted(text for text in marked if not (found := known.get(text)) or not found.string)
    assert missing == []


def test_no_translation_is_empty_or_doubtful() -> None:
    for message in catalogue():
        texts = message.string if isinstance(message.string, tuple) else (message.string,)
        assert all(texts), message.id
        assert not message.fuzzy, message.id


def test_translations_keep_their_fields() -> None:
    for message in catalogue():
        if not message.id:
            continue
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        texts = message.string if isinstance(message.string, tuple) else (message.string,)
        fields = set(_FIELD.findall(ids[-1]))
        assert all(set(_FIELD.findall(text)) == fields for text in texts), message.id


@pytest.mark.parametrize(
    ("value", "unit", "french", "english"),
    [
        (1_215.0, "TH/s", ("1,22", "PH/s"), ("1.22", "PH/s")),
        (0.6, "TH/s", ("600,0", "GH/s"), ("600.0", "GH/s")),
        (21_000.0, "W", ("21,00", "kW"), ("21.00", "kW")),
        (950.0, "W", ("950", "W"), ("950", "W")),
        (2_400_000_000.0, "W", ("2\u202f400", "MW"), ("2,400", "MW")),
        (None, "W", ("–", "W"), ("–", "W")),
        (float("nan"), "W", ("–", "W"), ("–", "W")),
    ],
)
def test_figures_take_the_step_that_reads_best(
    value: float | None, unit: str, french: tuple[str, str], english: tuple[str, str]
) -> None:
    for language, expected in (("fr", french), ("en", english)):
        with translation.override(language):
            text, step = figures.scaled(value, unit)
            assert (text.replace("\xa0", "\u202f"), step) == expected


def test_ages_are_said_in_their_largest_unit() -> None:
    with translation.override("en"):
        spans = [figures.span(seconds) for seconds in (5, 89, 90, 5_399, 5_400, 129_600, 864_000)]
    assert spans == ["5 s", "89 s", "1 min", "89 min", "1 h", "1 day", "10 days"]


def test_a_moment_in_the_future_has_no_age() -> None:
    assert figures.age_of(utc_now() + timedelta(minutes=5)) == 0.0


def test_initials_stand_for_a_person() -> None:
    assert [initials(name) for name in ("Ada Mabiala", "Ada", "Jean de la Croix", "")] == ["AM", "A", "JC", ""]
