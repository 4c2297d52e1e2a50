"""What a query string asks for, read once for pages, downloads and the API alike."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from django.http import QueryDict
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.timezone import is_naive, make_aware
from django.utils.translation import gettext as _

from mbongi.base.errors import MbongiError
from mbongi.fleet.selectors import SORTS, EventFilter, MachineFilter
from mbongi.fleet.values import EventKind, Family, MachineState, Severity
from mbongi.web.measures import measures

PAGE_SIZE = 50
PAGE_SIZE_MAX = 1000
ID_MAX = 2**31 - 1
TEXT_MAX = 200

T = TypeVar("T")


class QueryError(MbongiError, ValueError):
    """A parameter of a query cannot be used; ``field`` names it, ``text`` says why in the reader's language."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(f"{field}: {text}")
        self.field = field
        self.text = text


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which part of a list, in which order."""

    sort: str
    limit: int
    offset: int

    @property
    def page(self) -> int:
        """The page's number, from 1."""
        return self.offset // self.limit + 1


STATES: Mapping[str, MachineState] = {state.word: state for state in MachineState}


def machine_filter(query: QueryDict) -> MachineFilter:
    """The machines that a query asks for. Raises QueryError."""
    return MachineFilter(
        states=choices(query, "state", STATES.__getitem__, tuple(STATES)),
        families=choices(query, "family", Family, tuple(Family)),
        models=tuple(model for model in query.getlist("model") if model),
        hall=whole(query, "hall", None, 0, 32767),
        rack=whole(query, "rack", None, 0, 32767),
        group_id=whole(query, "group", None, 0, ID_MAX),
        text=text(query, "q"),
        with_alarm=query.get("alarm", "") in {"1", "true", "on"},
    )


def event_filter(query: QueryDict) -> EventFilter:
    """The events that a query asks for. Raises QueryError."""
    states = {"": None, "open": True, "past": False}
    state = query.get("is", "")
    if state not in states:
        raise QueryError("is", _("expected one of %(choices)s") % {"choices": "open, past"})
    return EventFilter(
        machine_id=whole(query, "machine", None, 1, ID_MAX),
        kinds=choices(query, "kind", EventKind, tuple(EventKind)),
        severities=choices(query, "severity", Severity, tuple(Severity)),
        is_open=states[state],
        since=_moment(query, "since"),
        until=_moment(query, "until"),
    )


def list_query(query: QueryDict, default_sort: str = "position") -> ListQuery:
    """Sort, limit and offset (or page). Raises QueryError."""
    sort = query.get("sort", "") or default_sort
    if sort.removeprefix("-") not in {*SORTS, *measures()}:
        raise QueryError("sort", _("“%(found)s” is no order of this list") % {"found": sort[:40]})
    return part_query(query, sort)


def part_query(query: QueryDict, sort: str = "", *, limit: int = PAGE_SIZE) -> ListQuery:
    """Limit and offset (or page) of a list whose order is read elsewhere. Raises QueryError."""
    limit = whole(query, "limit", limit, 1, PAGE_SIZE_MAX) or limit
    page = whole(query, "page", None, 1, 1_000_000)
    offset = whole(query, "offset", 0, 0, ID_MAX) or 0
    return ListQuery(sort, limit, offset if page is None else (page - 1) * limit)


def before(query: QueryDict) -> int | None:
    """Where a list that runs backwards goes on. Raises QueryError."""
    return whole(query, "before", None, 0, 2**62)


def hours(query: QueryDict, limit: int = 24 * 366) -> int:
    """The length of a series. Raises QueryError."""
    return whole(query, "hours", 24, 1, limit) or 24


def limit(query: QueryDict) -> int:
    """The length of a page. Raises QueryError."""
    return whole(query, "limit", PAGE_SIZE, 1, PAGE_SIZE_MAX) or PAGE_SIZE


def text(query: QueryDict, name: str) -> str:
    """Words to find. Raises QueryError where there are too many."""
    found = query.get(name, "").strip()
    if len(found) > TEXT_MAX:
        raise QueryError(name, _("at most %(limit)d characters") % {"limit": TEXT_MAX})
    return found


def choices(query: QueryDict, name: str, read: Callable[[str], T], known: tuple[Any, ...]) -> tuple[T, ...]:
    """Words out of a list, several with commas. Raises QueryError."""
    found = [part for value in query.getlist(name) for part in value.split(",") if part]
    try:
        return tuple(read(part) for part in found)
    except (ValueError, KeyError) as error:
        text = _("expected one of %(choices)s") % {"choices": ", ".join(str(one) for one in known)}
        raise QueryError(name, text) from error


def whole(query: QueryDict, name: str, default: int | None, low: int, high: int) -> int | None:
    """A whole number within limits. Raises QueryError."""
    found = query.get(name, "")
    if not found:
        return default
    if not (found.isascii() and found.isdigit() and len(found) <= 20) or not low <= int(found) <= high:
        raise QueryError(name, _("expected a whole number from %(low)d to %(high)d") % {"low": low, "high": high})
    return int(found)


def _moment(query: QueryDict, name: str) -> datetime | None:
    text = query.get(name, "").strip()
    if not text:
        return None
    try:
        moment = parse_datetime(text.replace(" ", "+") if "T" in text else text)
        day = parse_date(text) if moment is None else None
    except ValueError:
        moment = day = None
    if moment is None and day is not None:
        moment = datetime(day.year, day.month, day.day)  # noqa: DTZ001 -- made aware below, in the site's zone
    if moment is None:
        raise QueryError(name, _("expected a date or time such as %(example)s") % {"example": "2026-03-01T14:00:00Z"})
    return make_aware(moment) if is_naive(moment) else moment
