"""A plant of 200,000 elements: the supply of machines traced, and the table of every single outage.

Feeds and gensets on switchboards, transformers, UPS for a part, two PDUs for each rack, machines with two inputs.
The inventory is made and turned into arrays beforehand, which the table's first lines say; ``n1_seconds`` is the whole
table of feeds, transformers and PDUs, ``trace_ms`` the way of one machine to its sources with its A/B diversity.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from bench.harness import report
from mbongi.facility.rules.capacity import capacity
from mbongi.facility.rules.load_flow import load_flow
from mbongi.facility.rules.network import network, supply
from mbongi.facility.rules.outage import n1_table, n2_table, what_if
from mbongi.facility.rules.trace import diversity, supply_dominators, trace
from mbongi.facility.values import Element, ElementKind, Link, LinkKind, Phases, Side

K = ElementKind
Found = TypeVar("Found")
PER_RACK = 36
RACKS_PER_GROUP = 50


class Plant:
    """Elements and links as they are added."""

    def __init__(self) -> None:
        self.elements: list[Element] = []
        self.links: list[Link] = []

    def add(self, tag: str, kind: K, source: str, **ratings: float) -> str:
        """An element fed by ``source``, if by any; returns its tag."""
        self.elements.append(Element(tag=tag, kind=kind, **ratings))  # type: ignore[arg-type]
        if source:
            self.join(source, tag)
        return tag

    def join(self, source: str, target: str, phases: Phases = Phases.THREE, side: Side = Side.NONE) -> None:
        """A power link; those of the racks have breakers."""
        breaker_a = {Phases.THREE: 250.0}.get(phases, 20.0) if side else None
        tag = f"{source}>{target}"
        self.links.append(Link(tag=tag, source=source, target=target, kind=LinkKind.POWER, phases=phases, side=side,
                               breaker_a=breaker_a))  # fmt: skip

    def group(self, number: int, boards: dict[Side, str]) -> None:
        """A transformer and a low-voltage board of each side, every tenth pair with UPS, and its fifty racks."""
        supplies = {}
        for side, board in boards.items():
            name = f"{number}{side}"
            transformer = self.add(f"TR-{name}", K.TRANSFORMER, board, rated_kva=4000, efficiency=0.985)
            supplies[side] = self.add(f"LV-{name}", K.LV_SWITCHBOARD, transformer, rated_a=6300)
            if number % 10 == 0:
                ups = {"rated_kw": 1000.0, "efficiency": 0.96, "capacity_kwh": 200.0}
                supplies[side] = self.add(f"UPS-{name}", K.UPS, supplies[side], **ups)
        for rack in range(RACKS_PER_GROUP):
            self.rack(f"{number}-{rack}", supplies)

    def rack(self, name: str, supplies: dict[Side, str]) -> None:
        """Two PDUs, and machines on both of them, spread over the phases."""
        for side, source in supplies.items():
            self.join(source, self.add(f"PDU-{name}{side}", K.PDU, "", rated_a=250), side=side)
        for slot in range(PER_RACK):
            machine = self.add(f"M-{name}-{slot}", K.MACHINE, "", demand_kw=3.5)
            for side in supplies:
                self.join(f"PDU-{name}{side}", machine, (Phases.L1, Phases.L2, Phases.L3)[slot % 3], side)


def plant(count: int) -> tuple[list[Element], list[Link]]:
    """A plant of ``count`` elements or some more."""
    made, boards = Plant(), {}
    for side in (Side.A, Side.B):
        boards[side] = made.add(
            f"MV-{side}", K.MV_SWITCHBOARD, made.add(f"F-{side}", K.UTILITY_FEED, ""), rated_v=20_000
        )
        made.join(made.add(f"G-{side}", K.GENSET, "", rated_kva=100_000, rated_v=20_000), boards[side])
    number = 0
    while len(made.elements) < count:
        number += 1
        made.group(number, boards)
    return made.elements, made.links


def main(argv: list[str] | None = None) -> int:
    """Measure; some twenty seconds, most of them to make the plant."""
    parser = argparse.ArgumentParser(prog="mbongi bench facility-trace", description=__doc__)
    parser.add_argument("--elements", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=3, help="the best of so many is told")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    elements, links = plant(arguments.elements)
    table: list[list[object]] = [["elements", len(elements)], ["power links", len(links)]]
    began_s = time.perf_counter()
    net = network(elements, links)
    table.append(["turned into arrays, s", time.perf_counter() - began_s])
    figures: dict[str, float] = {}

    def timed(key: str, work: Callable[[], Found], scale: float = 1.0) -> Found:
        found, best = [], float("inf")
        for _ in range(arguments.repeat):
            began_s = time.perf_counter()
            found = [work()]
            best = min(best, time.perf_counter() - began_s)
        figures[key] = best * scale
        return found[0]

    state = supply(net)
    loads = timed("load_flow_seconds", lambda: load_flow(net, supply(net)))
    timed("capacity_seconds", lambda: capacity(net, state, loads))
    drawn = loads.into_kw.sum(1)
    n1 = timed("n1_seconds", lambda: n1_table(net, drawn))
    machine = int(net.of_kind(K.MACHINE)[-1])
    tree = supply_dominators(net)
    timed("trace_ms", lambda: (trace(net, machine), diversity(net, machine, tree)), 1e3)
    feeds = net.of_kind(K.UTILITY_FEED, K.GENSET, K.TRANSFORMER)[:40]
    timed("n2_seconds", lambda: n2_table(net, drawn, feeds))
    timed("what_if_seconds", lambda: what_if(net, [int(net.of_kind(K.TRANSFORMER)[0])], loads))
    table += [["outages in the table", len(n1.tripped)], ["load, MW", float(drawn[net.consumes].sum()) / 1e3],
              ["pairs of outages", len(feeds) * (len(feeds) - 1) // 2]]  # fmt: skip
    report("facility-trace", figures, as_json=arguments.json, table=table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
