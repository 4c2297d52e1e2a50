"""Held against pandapower's three-phase power flow, an implementation that is not ours.

Its lines and transformers are given next to no impedance, as drops of voltage are left out here, and the transformer
next to no magnetising current of zero sequence, which would move load between the phases.
"""

import numpy as np
import pandapower
import pytest

from mbongi.facility.rules.capacity import capacity
from mbongi.facility.rules.load_flow import load_flow
from mbongi.facility.rules.network import network, supply
from mbongi.facility.values import ElementKind, Phases
from tests.facility.plants import element, link

K = ElementKind
PANELS = (
    ((60.0, 50.0, 40.0), (0.9, 0.95, 1.0)),
    ((10.0, 70.0, 20.0), (0.8, 0.9, 0.85)),
)
"""Real power of each phase, and its power factor."""


def reference() -> "pandapower.pandapowerNet":
    """20 kV, a transformer of 630 kVA, and a line to each of two boards with uneven loads."""
    net = pandapower.create_empty_network()
    high, low = pandapower.create_bus(net, 20.0), pandapower.create_bus(net, 0.4)
    pandapower.create_ext_grid(net, high, s_sc_max_mva=1e6, rx_max=0.1, r0x0_max=0.1, x0x_max=1.0)
    pandapower.create_transformer_from_parameters(
        net, high, low, sn_mva=0.63, vn_hv_kv=20, vn_lv_kv=0.4, vk_percent=0.01, vkr_percent=0.001, pfe_kw=0,
        i0_percent=0, vector_group="YNyn", vk0_percent=0.01, vkr0_percent=0.001, mag0_percent=1e6, mag0_rx=0,
        si0_hv_partial=0.9, shift_degree=0,
    )  # fmt: skip
    for loads_kw, factors in PANELS:
        board = pandapower.create_bus(net, 0.4)
        pandapower.create_line_from_parameters(
            net, low, board, 0.001, r_ohm_per_km=0.01, x_ohm_per_km=0.01, c_nf_per_km=0, max_i_ka=0.4,
            r0_ohm_per_km=0.01, x0_ohm_per_km=0.01, c0_nf_per_km=0,
        )  # fmt: skip
        real = [kw / 1e3 for kw in loads_kw]
        reactive = [kw / 1e3 * (1 / factor**2 - 1) ** 0.5 for kw, factor in zip(loads_kw, factors, strict=True)]
        pandapower.create_asymmetric_load(
            net, board, p_a_mw=real[0], p_b_mw=real[1], p_c_mw=real[2],
            q_a_mvar=reactive[0], q_b_mvar=reactive[1], q_c_mvar=reactive[2],
        )  # fmt: skip
    pandapower.runpp_3ph(net, numba=False)
    return net


def test_sums_currents_neutrals_and_the_transformers_loading_are_those_of_pandapower() -> None:
    elements = [
        element("F", K.UTILITY_FEED, rated_v=20_000),
        element("TR", K.TRANSFORMER, rated_kva=630, efficiency=1.0),
        element("LV", K.LV_SWITCHBOARD),
    ]
    links = [link("F>TR"), link("TR>LV")]
    for at, (loads_kw, factors) in enumerate(PANELS, 1):
        elements.append(element(f"P-{at}", K.PDU))
        links.append(link(f"LV>P-{at}", breaker_a=400))
        for phase, kw, factor in zip((Phases.L1, Phases.L2, Phases.L3), loads_kw, factors, strict=True):
            elements.append(element(f"M-{at}-{phase}", K.SERVER, demand_kw=kw, power_factor=factor))
            links.append(link(f"P-{at}>M-{at}-{phase}/{phase[-1]}"))
    net = network(elements, links)
    state = supply(net)
    loads = load_flow(net, state)
    found, theirs = capacity(net, state, loads, breaker_share=1.0), reference()

    names = ("a", "b", "c")
    grid, line, transformer = theirs.res_ext_grid_3ph.loc[0], theirs.res_line_3ph, theirs.res_trafo_3ph.loc[0]
    feed = net.number["F"]
    assert loads.into_kw[feed] == pytest.approx([1e3 * grid[f"p_{name}_mw"] for name in names], rel=1e-3)
    assert loads.into_kvar[feed] == pytest.approx([1e3 * grid[f"q_{name}_mvar"] for name in names], rel=1e-2)
    assert found.load_pct[net.number["TR"]] == pytest.approx(transformer["loading_percent"], rel=1e-3)
    currents, neutrals = np.abs(loads.currents_a(net)), loads.neutral_a(net)
    for at in range(len(PANELS)):
        board = net.number[f"P-{at + 1}"]
        assert currents[board] == pytest.approx([1e3 * line[f"i_{name}_ka"][at] for name in names], rel=1e-3)
        assert neutrals[board] == pytest.approx(1e3 * line["i_n_ka"][at], rel=1e-3)
        assert found.edge_pct[net.links.index(f"LV>P-{at + 1}")] == pytest.approx(line["loading_percent"][at], rel=1e-3)
