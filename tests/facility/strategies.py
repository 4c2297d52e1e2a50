"""Whole inventories, thought up by Hypothesis: every kind of place, element and link, and odd texts."""

from datetime import date
from typing import Any

from hypothesis import strategies as st

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

LETTERS = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs", "Cf"))
TAGS = st.text(LETTERS, min_size=1, max_size=20)
TEXTS = st.one_of(st.just(""), TAGS, st.sampled_from(["=1+1", "'tis", "a, b; c", '"quoted"', "Salle n° 2", "-5", "@x"]))
SIZES = st.one_of(st.none(), st.floats(0, 1e9, allow_subnormal=False), st.integers(0, 5000).map(float))
SHARES = st.one_of(st.none(), st.floats(0.01, 1))
DAYS = st.one_of(st.none(), st.dates(date(2000, 1, 1), date(2099, 12, 31)))


@st.composite
def inventories(draw: st.DrawFn) -> Inventory:
    """A valid inventory."""
    places = draw(_places())
    racks = [place for place in places if place.kind is PlaceKind.RACK]
    tags = draw(st.lists(TAGS, unique=True, max_size=7))
    elements = [draw(_element(tag, places, racks, number)) for number, tag in enumerate(tags)]
    links = draw(_links(tags)) if len(tags) > 1 else []
    documents = {
        (tag, title): Document(
            element=tag, title=title, reference=draw(TAGS), sha256=draw(st.sampled_from(["", "ab" * 32]))
        )
        for tag in tags[:2]
        for title in draw(st.lists(TAGS, max_size=2))
    }  # fmt: skip
    return Inventory(
        places=tuple(places), elements=tuple(elements), links=tuple(links), documents=tuple(documents.values())
    )


@st.composite
def _places(draw: st.DrawFn) -> list[Place]:
    codes = draw(st.lists(TAGS, unique=True, min_size=1, max_size=6))
    kinds = sorted((draw(st.sampled_from(list(PlaceKind))) for _ in codes[1:]), key=list(PlaceKind).index)
    found = [Place(code=codes[0], kind=PlaceKind.SITE, name=draw(TEXTS))]
    for code, kind in zip(codes[1:], kinds, strict=True):
        above = [place for place in found if list(PlaceKind).index(place.kind) < list(PlaceKind).index(kind)]
        is_rack = kind is PlaceKind.RACK
        found.append(Place(
            code=code, kind=kind, name=draw(TEXTS), parent=draw(st.sampled_from(above)).code if above else "",
            slots=draw(st.one_of(st.none(), st.integers(1, 300))) if is_rack else None,
            numbering=draw(st.sampled_from(list(RackNumbering))) if is_rack else RackNumbering.UNITS,
            x_m=draw(SIZES), y_m=draw(st.one_of(st.none(), st.floats(-100, 100))),
        ))  # fmt: skip
    return found


@st.composite
def _element(draw: st.DrawFn, tag: str, places: list[Place], racks: list[Place], number: int) -> Element:
    kind = draw(st.sampled_from(list(ElementKind)))
    place = draw(st.sampled_from([None, *places]))
    facts: dict[str, Any] = {
        name: draw(SIZES)
        for name in ("rated_kw", "rated_kva", "rated_a", "demand_kw", "capacity_kwh", "capacity_l", "capacity_m3")
    }
    return Element(
        tag=tag, kind=kind, name=draw(TEXTS), place="" if place is None else place.code,
        slot=draw(st.one_of(st.none(), st.integers(1, place.slots or 42))) if place in racks and place else None,
        status=draw(st.sampled_from(list(ElementStatus))), manufacturer=draw(TEXTS), model=draw(TEXTS),
        serial=draw(TEXTS), rated_v=draw(st.one_of(st.none(), st.sampled_from([230.0, 400.0, 20_000.0]))),
        phases=draw(st.sampled_from([None, 1, 3])), power_factor=draw(SHARES), efficiency=draw(SHARES),
        machine_id=number if kind is ElementKind.MACHINE else None,
        maintenance_days=draw(st.one_of(st.none(), st.integers(1, 3650))), maintenance_last=draw(DAYS),
        maintenance_next=draw(DAYS), **facts,
    )  # fmt: skip


@st.composite
def _links(draw: st.DrawFn, tags: list[str]) -> list[Link]:
    found = []
    for tag in draw(st.lists(TAGS, unique=True, max_size=8)):
        source, target = draw(st.lists(st.sampled_from(tags), min_size=2, max_size=2, unique=True))
        kind, side = draw(st.sampled_from(list(LinkKind))), draw(st.sampled_from(list(Side)))
        if kind is LinkKind.POWER:
            found.append(Link(
                tag=tag, source=source, target=target, kind=kind, side=side,
                phases=draw(st.sampled_from([Phases.L1, Phases.L2, Phases.L3, Phases.THREE])),
                breaker_a=draw(st.one_of(st.none(), st.floats(0.5, 6300))), normally_open=draw(st.booleans()),
            ))  # fmt: skip
        else:
            found.append(Link(tag=tag, source=source, target=target, kind=kind, side=side))
    return found
