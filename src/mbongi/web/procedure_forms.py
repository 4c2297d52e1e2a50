"""The form of a procedure: rows of steps, read into a document and shown again as they were typed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _

from mbongi.facility.errors import ProcedureRefusedError
from mbongi.facility.rules.procedures import ProcedureDocument, ProcedureKind, ProcedureStep, StepKind

FIELDS = ("kind", "title", "element", "low", "high", "unit", "text", "warning")
SPARE = 3
"""Empty rows below those that are filled."""
ROWS_MAX = 220


@dataclass(frozen=True, slots=True)
class FormSight:
    """What the form shows. ``steps`` and ``back_out`` are rows of texts by field name, empty ones at the end."""

    code: str = ""
    kind: str = ProcedureKind.SOP
    title: str = ""
    purpose: str = ""
    risk: str = ""
    protection: str = ""
    before: str = ""
    reason: str = ""
    steps: Sequence[Mapping[str, str]] = field(default_factory=lambda: spare([]))
    back_out: Sequence[Mapping[str, str]] = field(default_factory=lambda: spare([]))


def spare(rows: Sequence[Mapping[str, str]], more: int = SPARE) -> list[Mapping[str, str]]:
    """The rows and some empty ones after them."""
    return [*rows, *[dict.fromkeys(FIELDS, "") | {"kind": str(StepKind.ACT)} for _number in range(more)]]


def typed(form: QueryDict) -> FormSight:
    """The form as it was sent."""
    texts = ("code", "title", "purpose", "risk", "protection", "before", "reason")
    words = {name: form.get(name, "") for name in texts}
    more = SPARE + (5 if "more" in form else 0)
    return FormSight(
        **words,
        kind=form.get("kind", ProcedureKind.SOP),
        steps=spare(_rows(form, "steps"), more),
        back_out=spare(_rows(form, "back_out"), SPARE),
    )


def filled(code: str, kind: ProcedureKind, title: str, document: ProcedureDocument) -> FormSight:
    """The form with what a version says, to write the next one."""
    return FormSight(
        code=code,
        kind=kind,
        title=title,
        purpose=document.purpose,
        risk=document.risk,
        protection="\n".join(document.protection),
        before="\n".join(document.before),
        steps=spare([_row(step) for step in document.steps]),
        back_out=spare([_row(step) for step in document.back_out]),
    )


def document_of(form: QueryDict) -> dict[str, Any]:
    """The document that the form says. Raises ProcedureRefusedError naming the figure that cannot be read."""
    return {
        "purpose": form.get("purpose", "").strip(),
        "risk": form.get("risk", "").strip(),
        "protection": _lines(form.get("protection", "")),
        "before": _lines(form.get("before", "")),
        "steps": [_step(row, number) for number, row in enumerate(_rows(form, "steps"), 1)],
        "back_out": [_step(row, number) for number, row in enumerate(_rows(form, "back_out"), 1)],
    }


def _rows(form: QueryDict, part: str) -> list[Mapping[str, str]]:
    """Rows in which anything is filled in."""
    columns = {name: form.getlist(f"{part}-{name}")[:ROWS_MAX] for name in FIELDS}
    length = max(map(len, columns.values()), default=0)
    rows = [{name: (each[place : place + 1] or [""])[0] for name, each in columns.items()} for place in range(length)]
    return [row for row in rows if any(row[name].strip() for name in FIELDS if name != "kind")]


def _row(step: ProcedureStep) -> Mapping[str, str]:
    return {name: _text(getattr(step, name)) for name in FIELDS}


def _text(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _step(row: Mapping[str, str], number: int) -> dict[str, Any]:
    found: dict[str, Any] = {name: row[name].strip() for name in FIELDS}
    for name in ("low", "high"):
        found[name] = number_of(row[name], _("Step %(number)d:") % {"number": number})
    return found


def number_of(text: str, where: str = "") -> float | None:
    """A figure as people write it, with a comma or a point; None where there is none. Raises ProcedureRefusedError."""
    text = text.replace("\u202f", "").replace("\u00a0", "").replace(" ", "").replace(",", ".")
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        said = _("“%(text)s” is no number.") % {"text": text[:40]}
        raise ProcedureRefusedError(f"{where} {text[:40]!r} is no number", f"{where} {said}".strip())
    return number


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
