"""What can be asked of the plant: its inventory, how it is joined, and what was changed when."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from django.db.models import Count, Max, Q, QuerySet, Sum

from mbongi.core.ledger import selectors as ledger
from mbongi.core.ledger.values import Entry
from mbongi.facility import models
from mbongi.facility.errors import UnknownElementError
from mbongi.facility.rules.inventory_files import Row, columns, shown
from mbongi.facility.rules.network import Network, network
from mbongi.facility.values import (
    Document,
    Element,
    ElementKind,
    ElementStatus,
    Inventory,
    Link,
    LinkKind,
    Phases,
    Place,
    PlaceKind,
    RackNumbering,
    Side,
)

_PLACE = ("code", "kind", "name", "parent__code", "slots", "numbering", "x_m", "y_m", "width_m", "depth_m")
_ELEMENT = tuple("place__code" if name == "place" else name for name in Element.__struct_fields__)
_LINK = ("tag", "source__tag", "target__tag", "kind", "phases", "side", "breaker_a", "normally_open")
_DOCUMENT = ("element__tag", "title", "reference", "sha256")


def places(rows: "QuerySet[models.Place] | None" = None) -> list[Place]:
    """All places by their codes."""
    rows = models.Place.objects.all() if rows is None else rows
    return [_place(row) for row in rows.values_list(*_PLACE)]


def elements(*kinds: ElementKind, rows: "QuerySet[models.Element] | None" = None) -> list[Element]:
    """All elements by their tags, or those of some kinds."""
    rows = models.Element.objects.all() if rows is None else rows
    found = rows.filter(kind__in=kinds) if kinds else rows
    return [_element(row) for row in found.values_list(*_ELEMENT)]


def element(tag: str) -> Element:
    """One element. Raises UnknownElementError."""
    found = elements(rows=models.Element.objects.filter(tag=tag))
    if not found:
        raise UnknownElementError(f"element {tag!r}: not known")
    return found[0]


def links(*kinds: LinkKind, rows: "QuerySet[models.Link] | None" = None) -> list[Link]:
    """All links by their tags, or those of some kinds."""
    rows = models.Link.objects.all() if rows is None else rows
    found = rows.filter(kind__in=kinds) if kinds else rows
    return [_link(row) for row in found.values_list(*_LINK)]


def graph() -> list[Link]:
    """The power and cooling links between elements that are in service: what an outage spreads along."""
    in_service = {"source__status": ElementStatus.ACTIVE, "target__status": ElementStatus.ACTIVE}
    return links(LinkKind.POWER, LinkKind.COOLING, rows=models.Link.objects.filter(**in_service))


def documents(tag: str | None = None, rows: "QuerySet[models.Document] | None" = None) -> list[Document]:
    """All documents, or those of one element."""
    rows = models.Document.objects.all() if rows is None else rows
    found = rows if tag is None else rows.filter(element__tag=tag)
    return [
        Document(element=row[0], title=row[1], reference=row[2], sha256=row[3]) for row in found.values_list(*_DOCUMENT)
    ]


def inventory() -> Inventory:
    """All of the plant."""
    return Inventory(
        places=tuple(places()), elements=tuple(elements()), links=tuple(links()), documents=tuple(documents())
    )


def version(file: str, *key: str) -> int:
    """How often a row was written, for a form to state. Raises UnknownElementError."""
    names = {"places": ("code",), "elements": ("tag",), "links": ("tag",), "documents": ("element__tag", "title")}[file]
    table: Any = {
        "places": models.Place, "elements": models.Element, "links": models.Link, "documents": models.Document
    }[file]  # fmt: skip
    found = table.objects.filter(**dict(zip(names, key, strict=True))).values_list("version", flat=True).first()
    if found is None:
        raise UnknownElementError(f"{file} {' '.join(key)!r}: not known")
    return int(found)


def links_of(tag: str) -> list[Link]:
    """The links that begin or end at an element."""
    return links(rows=models.Link.objects.filter(Q(source__tag=tag) | Q(target__tag=tag)))


def is_known(tag: str) -> bool:
    """Whether an element has this tag."""
    return models.Element.objects.filter(tag=tag).exists()


def row(file: str, key: str) -> dict[str, str]:
    """A place, element or link as a form shows it. Raises UnknownElementError."""
    tables: dict[str, Callable[[], Sequence[Row]]] = {
        "places": lambda: places(models.Place.objects.filter(code=key)),
        "elements": lambda: elements(rows=models.Element.objects.filter(tag=key)),
        "links": lambda: links(rows=models.Link.objects.filter(tag=key)),
        "documents": list,
    }
    found = tables[file]()
    if not found:
        raise UnknownElementError(f"{file} {key!r}: not known")
    return {name: shown(getattr(found[0], name)) for name in columns(file)}


def metered() -> dict[str, str]:
    """What each meter measures, by the meters' tags: where its data link leads."""
    rows = models.Link.objects.filter(kind=LinkKind.DATA, source__kind=ElementKind.METER)
    return dict(rows.values_list("source__tag", "target__tag"))


@dataclass(frozen=True, slots=True)
class ElementFilter:
    """Which elements a list shows. ``place`` includes what lies within it; without ``status`` all but retired ones."""

    text: str = ""
    kind: ElementKind | None = None
    status: ElementStatus | None = None
    place: str = ""
    fed_by: str = ""
    """The tag of an element: only what a power link leads to from there."""


def find(wanted: ElementFilter, *, offset: int, limit: int) -> tuple[list[Element], int]:
    """A part of the elements that a filter lets through, by tag, and how many there are."""
    rows = models.Element.objects.all()
    rows = rows.filter(status=wanted.status) if wanted.status else rows.exclude(status=ElementStatus.RETIRED)
    if wanted.kind:
        rows = rows.filter(kind=wanted.kind)
    if wanted.place:
        rows = rows.filter(place__code__in=within(wanted.place))
    if wanted.fed_by:
        direct = models.Link.objects.filter(source__tag=wanted.fed_by, kind=LinkKind.POWER)
        rows = rows.filter(pk__in=direct.values("target"))
    for word in wanted.text.split():
        rows = rows.filter(
            Q(tag__icontains=word) | Q(name__icontains=word) | Q(model__icontains=word) | Q(serial__icontains=word)
        )
    return elements(rows=rows[offset : offset + limit]), rows.count()


def within(code: str) -> list[str]:
    """A place and all places in it, by their codes."""
    below: dict[str, list[str]] = {}
    for place in places():
        below.setdefault(place.parent, []).append(place.code)
    found = [code]
    for at in found:
        found += below.get(at, [])
    return found


def history(tag: str, limit: int = 50) -> list[Entry]:
    """What was changed on an element, newest first, from the ledger."""
    return ledger.entries(subject=f"element:{tag}", limit=limit)


def overdue(today: date) -> list[Element]:
    """Elements in service whose maintenance is due, the longest due first."""
    rows = models.Element.objects.filter(status=ElementStatus.ACTIVE)
    with_plan = rows.exclude(maintenance_next=None) | rows.exclude(maintenance_days=None)
    due = [(each.maintenance_due, each) for each in elements(rows=with_plan)]
    return [each for day, each in sorted(due, key=lambda pair: pair[0] or date.max) if day is not None and day <= today]


def counts() -> dict[str, int]:
    """How many elements there are of each kind, but retired ones."""
    rows = models.Element.objects.exclude(status=ElementStatus.RETIRED).values_list("kind").annotate(count=Count("id"))
    return dict(rows.order_by())


def machine_tags(numbers: Collection[int]) -> dict[int, str]:
    """The tags of the fleet's machines, by their numbers there; without those that the inventory has not."""
    rows = models.Element.objects.filter(machine_id__in=numbers).values_list("machine_id", "tag")
    return {int(number): tag for number, tag in rows if number is not None}


def machine_numbers() -> dict[int, str]:
    """The tags of all machines that have a number in the fleet, by that number."""
    rows = models.Element.objects.exclude(machine_id=None).exclude(status=ElementStatus.RETIRED)
    return {int(number): tag for number, tag in rows.values_list("machine_id", "tag") if number is not None}


def networks() -> tuple[Network, Network]:
    """The power and the cooling network of all elements but retired ones; kept until something is written."""
    return _networks(_revision())


def _revision() -> tuple[Any, ...]:
    found: list[Any] = []
    for table in (models.Element, models.Link):
        row = table.objects.aggregate(count=Count("id"), versions=Sum("version"), last=Max("id"))
        found += row.values()
    return tuple(found)


@lru_cache(maxsize=1)
def _networks(_at: tuple[Any, ...]) -> tuple[Network, Network]:
    rows = models.Element.objects.exclude(status=ElementStatus.RETIRED)
    nodes = elements(rows=rows)
    known = {each.tag for each in nodes}
    edges = [each for each in links() if each.source in known and each.target in known]
    return network(nodes, edges, LinkKind.POWER), network(nodes, edges, LinkKind.COOLING)


def standing() -> list[tuple[str, str]]:
    """Every element that stands somewhere, by its tag, and the code of its place."""
    rows = models.Element.objects.exclude(place=None).exclude(status=ElementStatus.RETIRED)
    return list(rows.values_list("tag", "place__code"))


def tree() -> list[tuple[Place, int, int]]:
    """Places in the order of a tree, each with its depth and how many elements stand in it and in what is within it."""
    every = {place.code: place for place in places()}
    rows = models.Element.objects.exclude(status=ElementStatus.RETIRED).exclude(place=None)
    own: dict[str, int] = dict(rows.values_list("place__code").annotate(count=Count("id")).order_by())
    below: dict[str, list[str]] = {}
    for place in every.values():
        below.setdefault(place.parent, []).append(place.code)
    found: list[tuple[Place, int, int]] = []

    def walk(codes: Iterable[str], depth: int) -> int:
        total = 0
        for code in codes:
            at = len(found)
            found.append((every[code], depth, 0))
            count = own.get(code, 0) + walk(below.get(code, ()), depth + 1)
            found[at] = (every[code], depth, count)
            total += count
        return total

    walk(below.get("", ()), 0)
    return found


def _place(row: tuple[Any, ...]) -> Place:
    code, kind, name, parent, slots, numbering, *sizes = row
    return Place(
        code=code, kind=PlaceKind(kind), name=name, parent=parent or "", slots=slots,
        numbering=RackNumbering(numbering), x_m=sizes[0], y_m=sizes[1], width_m=sizes[2], depth_m=sizes[3],
    )  # fmt: skip


def _element(row: tuple[Any, ...]) -> Element:
    facts = dict(zip(Element.__struct_fields__, row, strict=True))
    facts |= {
        "kind": ElementKind(facts["kind"]),
        "status": ElementStatus(facts["status"]),
        "place": facts["place"] or "",
    }
    return Element(**facts)


def _link(row: tuple[Any, ...]) -> Link:
    tag, source, target, kind, phases, side, breaker_a, normally_open = row
    return Link(
        tag=tag, source=source, target=target, kind=LinkKind(kind), phases=Phases(phases), side=Side(side),
        breaker_a=breaker_a, normally_open=normally_open,
    )  # fmt: skip
