"""Small plants for tests, in a line or two each."""

from typing import Any

from mbongi.facility.values import Element, ElementKind, Link, LinkKind, Phases, Side

PHASES = {"1": Phases.L1, "2": Phases.L2, "3": Phases.L3, "": Phases.THREE}
SIDES = {"A": Side.A, "B": Side.B}


def element(tag: str, kind: ElementKind, **facts: Any) -> Element:
    """An element in service."""
    return Element(tag=tag, kind=kind, **facts)


def link(route: str, *, kind: LinkKind = LinkKind.POWER, **facts: Any) -> Link:
    """``"TR-1>LV-1"``, with ``/2`` for phase L2 and ``/A`` for side A behind it."""
    ends, *marks = route.split("/")
    source, target = ends.split(">")
    phases = next((PHASES[mark] for mark in marks if mark in PHASES), Phases.THREE)
    side = next((SIDES[mark] for mark in marks if mark in SIDES), Side.NONE)
    phases = phases if kind is LinkKind.POWER else Phases.NONE
    return Link(tag=route, source=source, target=target, kind=kind, phases=phases, side=side, **facts)


def two_sided(**machine: Any) -> tuple[list[Element], list[Link]]:
    """Two feeds, transformers and boards, a UPS on side A, a genset on B's board, a machine on a PDU of each side.

    The machine draws 6 kW: on side A from phase L1, on side B from L2.
    """
    kind = ElementKind
    elements = [
        element("F-A", kind.UTILITY_FEED),
        element("F-B", kind.UTILITY_FEED),
        element("TR-A", kind.TRANSFORMER, rated_kva=630, efficiency=0.98),
        element("TR-B", kind.TRANSFORMER, rated_kva=630, efficiency=0.98),
        element("LV-A", kind.LV_SWITCHBOARD),
        element("LV-B", kind.LV_SWITCHBOARD),
        element("G-1", kind.GENSET, rated_kva=500),
        element("UPS-A", kind.UPS, rated_kw=100, efficiency=0.95, capacity_kwh=10),
        element("PDU-A", kind.PDU),
        element("PDU-B", kind.PDU),
        element("M-1", kind.MACHINE, demand_kw=6.0, **machine),
    ]
    links = [
        link("F-A>TR-A"), link("TR-A>LV-A"), link("LV-A>UPS-A"), link("UPS-A>PDU-A", breaker_a=63),
        link("PDU-A>M-1/1/A"),
        link("F-B>TR-B"), link("TR-B>LV-B"), link("G-1>LV-B"), link("LV-B>PDU-B", breaker_a=63), link("PDU-B>M-1/2/B"),
    ]  # fmt: skip
    return elements, links
