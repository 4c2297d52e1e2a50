"""Sums worked by hand."""

import numpy as np
import pytest

from mbongi.facility.rules.load_flow import Basis, Loads, load_flow, readings_of
from mbongi.facility.rules.network import Network, Tier, network, supply
from mbongi.facility.values import Element, ElementKind, ElementStatus, Link
from tests.facility.plants import element, link, two_sided

K = ElementKind


def radial() -> tuple[list[Element], list[Link]]:
    """Feed, transformer of 98 %, board, PDU, and 3, 3 and 6 kW on the three phases."""
    elements = [
        element("F", K.UTILITY_FEED),
        element("TR", K.TRANSFORMER, rated_kva=100, efficiency=0.98),
        element("LV", K.LV_SWITCHBOARD),
        element("PDU", K.PDU),
        *(element(f"M-{at}", K.MACHINE, demand_kw=kw) for at, kw in ((1, 3.0), (2, 3.0), (3, 6.0))),
    ]
    links = [link("F>TR"), link("TR>LV"), link("LV>PDU", breaker_a=32), *(link(f"PDU>M-{at}/{at}") for at in (1, 2, 3))]
    return elements, links


def flow(elements: list[Element], links: list[Link], **readings: tuple[float, ...]) -> tuple[Network, Loads]:
    net = network(elements, links)
    named = {tag.replace("_", "-"): values for tag, values in readings.items()}
    return net, load_flow(net, supply(net), readings_of(net, named))


def test_loads_are_summed_by_phase_and_a_transformer_draws_its_losses_too() -> None:
    net, loads = flow(*radial())
    number = net.number
    assert loads.into_kw[number["PDU"]] == pytest.approx([3, 3, 6])
    assert loads.into_kw[number["TR"]] == pytest.approx([3 / 0.98, 3 / 0.98, 6 / 0.98])
    assert loads.loss_kw[number["TR"]] == pytest.approx(0.244898, abs=1e-6)
    assert loads.out_kw[number["F"]].sum() == pytest.approx(12.244898, abs=1e-6)
    # Neutral: 3, 3, 6 kW are 12.99, 12.99, 25.98 A; the sum is what L3 has beyond the others, 12.99 A.
    assert loads.neutral_a(net)[number["PDU"]] == pytest.approx(12.9904, abs=1e-4)
    assert loads.unbalance(net)[number["PDU"]] == pytest.approx(50)


def test_two_inputs_share_alike_each_on_its_own_phase() -> None:
    net, loads = flow(*two_sided())
    assert loads.into_kw[net.number["M-1"]] == pytest.approx([3, 3, 0])
    assert loads.into_kw[net.number["PDU-A"]] == pytest.approx([3, 0, 0])
    assert loads.into_kw[net.number["PDU-B"]] == pytest.approx([0, 3, 0])
    assert loads.into_kw[net.number["F-A"]].sum() == pytest.approx(3 / 0.95 / 0.98)
    assert loads.into_kw[net.number["G-1"]].sum() == 0  # stands by while the feed is there


def test_what_a_meter_says_replaces_the_model_for_all_above_it_and_it_is_said() -> None:
    net, loads = flow(*radial(), PDU=(4.0, 4.0, 7.0))
    number = net.number
    assert loads.into_kw[number["TR"]].sum() == pytest.approx(15 / 0.98)
    assert [loads.basis(number[tag]) for tag in ("PDU", "LV", "M-1")] == [Basis.METER, Basis.METER, Basis.MODEL]
    net, loads = flow(*radial(), M_1=(5.0,))
    assert loads.into_kw[net.number["PDU"]] == pytest.approx([5, 3, 6])
    assert loads.basis(net.number["PDU"]) is Basis.MIXED
    assert loads.metered[net.number["PDU"]] == pytest.approx(5 / 14)


def test_reactive_power_is_summed_and_counts_in_the_currents() -> None:
    elements, links = radial()
    elements[4] = element("M-1", K.MACHINE, demand_kw=8.0, power_factor=0.8)
    net, loads = flow(elements, links)
    assert loads.into_kvar[net.number["PDU"]] == pytest.approx([6, 0, 0])
    assert abs(loads.currents_a(net)[net.number["PDU"], 0]) == pytest.approx(43.3013, abs=1e-4)


def test_an_element_out_of_service_carries_nothing_and_what_hangs_on_it_is_dark() -> None:
    elements, links = radial()
    elements[1] = element("TR", K.TRANSFORMER, status=ElementStatus.OUT_OF_SERVICE)
    net, loads = flow(elements, links, M_1=(5.0,))
    assert supply(net).tier[net.number["M-1"]] == Tier.DARK
    assert loads.into_kw.sum() == 0


def test_a_ring_is_opened_where_it_is_farthest_and_nothing_is_counted_twice() -> None:
    elements, links = radial()
    links += [link("PDU>LV"), link("LV>TR")]
    net, loads = flow(elements, links)
    assert loads.into_kw[net.number["LV"]].sum() == pytest.approx(12)


def test_a_normally_open_tie_carries_only_once_there_is_no_other_supply() -> None:
    elements, links = two_sided()
    links.append(link("LV-A>LV-B", normally_open=True))
    net = network(elements, links)
    assert not supply(net).carries[-1]
    out = np.zeros(net.count, np.bool_)
    out[net.number["TR-B"]] = True
    state = supply(net, out)
    assert state.carries[-1]
    assert state.tier[net.number["LV-B"]] == Tier.TIE
    # The genset is not asked for: the tie comes before it.
    assert not state.carries[7]
