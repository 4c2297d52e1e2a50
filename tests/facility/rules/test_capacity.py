"""What is left and what is stranded, worked by hand."""

import numpy as np
import pytest

from mbongi.facility.rules.capacity import NOTHING, Capacity, capacity
from mbongi.facility.rules.load_flow import load_flow
from mbongi.facility.rules.network import Network, network, supply
from mbongi.facility.values import Element, ElementKind, Link
from tests.facility.plants import element, link, two_sided
from tests.facility.rules.test_load_flow import radial

K = ElementKind


def judged(
    elements: list[Element], links: list[Link], cooling_kw: dict[str, float] | None = None
) -> tuple[Network, Capacity]:
    net = network(elements, links)
    state = supply(net)
    cooling = np.full(net.count, np.inf)
    for tag, room in (cooling_kw or {}).items():
        cooling[net.number[tag]] = room
    return net, capacity(net, state, load_flow(net, state), cooling_left_kw=cooling)


def test_a_breaker_is_held_against_four_fifths_of_its_rating_on_its_fullest_phase() -> None:
    net, found = judged(*radial())
    # 6 kW on L3 are 25.98 A of 32 A, of which 25.6 A are allowed.
    assert found.edge_pct[net.links.index("LV>PDU")] == pytest.approx(101.49, abs=0.01)
    assert found.left_kw[net.number["PDU"]] == 0
    assert net.links[found.limited_by[net.number["PDU"]] - net.count] == "LV>PDU"


def test_what_is_left_is_the_least_over_phases_and_everything_above() -> None:
    elements, links = radial()
    links[2] = link("LV>PDU", breaker_a=100)
    net, found = judged(elements, links)
    # The breaker: 0.8 · 100 A · 230.94 V = 18.475 kW a phase, of which L3 has 12.475 left, so 37.43 balanced.
    assert found.left_kw[net.number["PDU"]] == pytest.approx(37.4256, abs=1e-3)
    # The transformer: 33.33 kVA a phase; by phase 30.33 + 30.33 + 27.33 are free, 82 kW balanced.
    assert found.free_kw[net.number["TR"]] == pytest.approx(88)
    assert found.left_kw[net.number["TR"]] == pytest.approx(82)
    # Nothing below it can take more than the PDU's breaker lets through: the rest is stranded.
    assert found.deliverable_kw[net.number["TR"]] == pytest.approx(37.4256, abs=1e-3)
    assert found.stranded_kw[net.number["TR"]] == pytest.approx(88 - 37.4256, abs=1e-3)
    assert found.limited_by[net.number["F"]] == NOTHING


def test_a_transformer_above_binds_what_hangs_below_it() -> None:
    elements, links = radial()
    links[2] = link("LV>PDU")
    elements[3] = element("PDU", K.PDU, rated_a=250)
    net, found = judged(elements, links)
    assert found.left_kw[net.number["PDU"]] == pytest.approx(82)
    assert net.tags[found.limited_by[net.number["PDU"]]] == "TR"
    # 250 A are 57.735 kVA a phase: 173.2 - 12 are free, 82 of them usable.
    assert found.stranded_kw[net.number["PDU"]] == pytest.approx(161.2051 - 82, abs=1e-3)


def test_cooling_binds_like_a_rating() -> None:
    elements, links = radial()
    links[2] = link("LV>PDU")
    net, found = judged(elements, links, {"PDU": 6.0})
    assert found.left_kw[net.number["PDU"]] == pytest.approx(6)
    assert net.tags[found.limited_by[net.number["PDU"]]] == "PDU"


def test_with_two_sides_the_weaker_one_counts() -> None:
    elements, links = two_sided()
    elements[-1] = element("STS-1", K.PDU)
    links = [each for each in links if each.target != "M-1"] + [link("PDU-A>STS-1/A"), link("PDU-B>STS-1/B")]
    links[3] = link("UPS-A>PDU-A", breaker_a=32)
    net, found = judged(elements, links)
    assert found.left_kw[net.number["STS-1"]] == pytest.approx(3 * 0.8 * 32 * 230.9401 / 1e3, abs=1e-3)
    assert net.links[found.limited_by[net.number["STS-1"]] - net.count] == "UPS-A>PDU-A"


def test_a_ups_is_held_against_its_output() -> None:
    elements, links = two_sided()
    elements[-1] = element("M-1", K.MACHINE, demand_kw=100.0)
    net, found = judged(elements, links)
    # 50 kW, all on L1, of 33.3 kW a phase.
    assert found.load_pct[net.number["UPS-A"]] == pytest.approx(150)
