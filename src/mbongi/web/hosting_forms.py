"""What people write on the forms of hosting, as terms and excuses: percents and amounts exactly, times at the site."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mbongi.fleet.errors import HostingRefusedError
from mbongi.fleet.rules.hosting_terms import CreditStep, CurtailmentClass, ExcuseClass, Member, Terms, currencies

PERCENT = 10_000
"""Millionths of a percent."""
_LABELS: Mapping[str, Promise] = {
    "group_id": gettext_lazy("Group"),
    "machines": gettext_lazy("Machines"),
    "uptime": gettext_lazy("Promised uptime"),
    "hash_hours": gettext_lazy("Hash-hours"),
    "nominal": gettext_lazy("Share"),
    "mwh": gettext_lazy("Price of 1,000 kWh"),
    "machine_month": gettext_lazy("Price of a machine and month"),
    "credits": gettext_lazy("Credits"),
    "curtailment": gettext_lazy("Curtailment"),
    "maintenance": gettext_lazy("Planned maintenance per machine and month"),
    "klass": gettext_lazy("Class"),
    "since": gettext_lazy("From"),
    "until": gettext_lazy("Until before"),
    "hall": gettext_lazy("Hall"),
    "contract": gettext_lazy("Contract"),
}
"""What the forms call their fields."""


def terms_of(given: Mapping[str, str]) -> Terms:
    """The terms of a form. Raises HostingRefusedError naming the field that cannot be read."""
    currency = given.get("currency", "")
    decimals = currencies().get(currency, 0)
    who, promise = given.get("who", "rule"), given.get("promise", "none")
    return Terms(
        valid_from=given.get("valid_from", ""),
        starts=given.get("starts", ""),
        ends=given.get("ends") or None,
        by_rule=who != "list",
        group_id=_whole(given, "group_id") if who == "group" else None,
        machines=_members(given.get("machines", "")) if who == "list" else (),
        uptime_ppm=_scaled(given, "uptime", PERCENT) or 0,
        hash_hours=_scaled(given, "hash_hours", 1) if promise == "hash_hours" else None,
        nominal_ppm=_scaled(given, "nominal", PERCENT) if promise == "nominal" else None,
        currency=currency,
        mwh_minor=_scaled(given, "mwh", 10**decimals) or 0,
        machine_month_minor=_scaled(given, "machine_month", 10**decimals) or 0,
        credits=_credits(given.get("credits", "")),
        curtailment=_curtailment(given.get("curtailment", "")),
        maintenance_s_max=_scaled(given, "maintenance", 3600) or 0,
        notes=given.get("notes", "").strip(),
    )


def form_of(terms: Terms | None) -> dict[str, str]:
    """The form that says the same as the terms; empty without."""
    if terms is None:
        return {}
    decimals = currencies()[terms.currency]
    who = "list" if not terms.by_rule else "rule" if terms.group_id is None else "group"
    promise = "hash_hours" if terms.hash_hours else "nominal" if terms.nominal_ppm else "none"
    return {
        "valid_from": terms.valid_from,
        "starts": terms.starts,
        "ends": terms.ends or "",
        "who": who,
        "group_id": "" if terms.group_id is None else str(terms.group_id),
        "machines": "\n".join(
            f"{each.machine_id} {each.since or ('*' if each.until else '')} {each.until or ''}".strip()
            for each in terms.machines
        ),
        "uptime": _unscaled(terms.uptime_ppm, PERCENT),
        "promise": promise,
        "hash_hours": "" if terms.hash_hours is None else str(terms.hash_hours),
        "nominal": "" if terms.nominal_ppm is None else _unscaled(terms.nominal_ppm, PERCENT),
        "currency": terms.currency,
        "mwh": _unscaled(terms.mwh_minor, 10**decimals) if terms.mwh_minor else "",
        "machine_month": _unscaled(terms.machine_month_minor, 10**decimals) if terms.machine_month_minor else "",
        "credits": "\n".join(
            f"{_unscaled(step.below_ppm, PERCENT)} {_unscaled(step.credit_ppm, PERCENT)}" for step in terms.credits
        ),
        "curtailment": terms.curtailment.value,
        "maintenance": _unscaled(terms.maintenance_s_max, 3600),
        "notes": terms.notes,
    }


def excuse_of(given: Mapping[str, str], zone: str) -> dict[str, Any]:
    """What ``contracts.enter_excuse`` takes. Raises HostingRefusedError."""
    try:
        klass = ExcuseClass(given.get("klass", ""))
    except ValueError as error:
        raise _refused("klass", given.get("klass", "")) from error
    reach = given.get("reach", "site")
    return {
        "klass": klass,
        "since": _moment(given, "since", zone),
        "until": _moment(given, "until", zone),
        "note": given.get("note", ""),
        "evidence": given.get("evidence", ""),
        "hall": _whole(given, "hall") if reach == "hall" else None,
        "contract_id": _whole(given, "contract") if reach == "contract" else None,
        "machine_ids": _numbers(given.get("machines", "")) if reach == "machines" else (),
    }


def _numbers(text: str) -> tuple[int, ...]:
    words = text.replace(",", " ").split()
    if not words or not all(map(_is_whole, words)):
        raise _refused("machines", text)
    return tuple(map(int, words))


def _is_whole(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 9


def _whole(given: Mapping[str, str], name: str) -> int:
    text = given.get(name, "").strip()
    if not _is_whole(text):
        raise _refused(name, text)
    return int(text)


def _moment(given: Mapping[str, str], name: str, zone: str) -> datetime:
    text = given.get(name, "").strip()
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise _refused(name, text) from error
    return found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))


def _scaled(given: Mapping[str, str], name: str, by: int) -> int | None:
    """A decimal figure times ``by``, which must come to a whole number; None where nothing is written."""
    text = given.get(name, "").strip().replace("\u202f", "").replace("\u00a0", "").replace(" ", "").replace(",", ".")
    return _times(text, name, by) if text else None


def _times(text: str, name: str, by: int) -> int:
    try:
        value = Decimal(text) * by
    except InvalidOperation as error:
        raise _refused(name, text) from error
    if not value.is_finite() or value != int(value) or abs(value) > 10**15:
        raise _refused(name, text)
    return int(value)


def _unscaled(value: int, by: int) -> str:
    found = Decimal(value) / by
    return f"{found.normalize():f}"


def _members(text: str) -> tuple[Member, ...]:
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        words = line.split()
        if not _is_whole(words[0]) or len(words) > 3:
            raise _refused("machines", line)
        since, until = (*(None if word == "*" else word for word in words[1:]), None, None)[:2]
        found.append(Member(machine_id=int(words[0]), since=since, until=until))
    return tuple(found)


def _credits(text: str) -> tuple[CreditStep, ...]:
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        words = line.replace("%", " ").replace(",", ".").split()
        if len(words) != 2:
            raise _refused("credits", line)
        below, credit = (_times(word, "credits", PERCENT) for word in words)
        found.append(CreditStep(below_ppm=below, credit_ppm=credit))
    return tuple(found)


def _curtailment(word: str) -> CurtailmentClass:
    try:
        return CurtailmentClass(word)
    except ValueError as error:
        raise _refused("curtailment", word) from error


def _refused(name: str, text: str) -> HostingRefusedError:
    words = _("“%(found)s” cannot be read (%(field)s).") % {"found": text[:40], "field": _LABELS[name]}
    return HostingRefusedError(f"form of hosting: {name}: {text[:40]!r} cannot be read", words)
