"""What goes dark: worked by hand, by a second method, and by taking each element out in turn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.facility.rules.capacity import capacity
from mbongi.facility.rules.load_flow import load_flow
from mbongi.facility.rules.network import Network, Tier, network, supply
from mbongi.facility.rules.outage import Fate, Outcome, n1_table, n2_table, what_if
from mbongi.facility.rules.trace import Verdict, diversity, supply_dominators, trace
from mbongi.facility.values import Element, ElementKind, Link, LinkKind
from tests.facility.plants import element, link, two_sided

K = ElementKind


def trip(elements: list[Element], links: list[Link], *tags: str) -> tuple[Network, Outcome]:
    net = network(elements, links)
    cooling = network(elements, links, LinkKind.COOLING)
    return net, what_if(net, [net.number[tag] for tag in tags], load_flow(net, supply(net)), cooling=cooling)


def fates(net: Network, outcome: Outcome, *tags: str) -> list[Fate]:
    return [Fate(outcome.fate[net.number[tag]]) for tag in tags]


def test_a_machine_with_two_inputs_goes_on_with_the_other_one_which_then_carries_all() -> None:
    net, outcome = trip(*two_sided(), "TR-A")
    # UPS-A's battery feeds PDU-A for a while; nothing follows it, and the machine does not need it.
    assert fates(net, outcome, "TR-A", "LV-A", "PDU-A", "M-1") == [
        Fate.DARK, Fate.DARK, Fate.RUNS_OUT, Fate.TRANSFERRED,
    ]  # fmt: skip
    assert outcome.loads.into_kw[net.number["PDU-B"]].sum() == pytest.approx(6)


def test_gensets_bring_back_what_no_battery_holds_and_batteries_hold_what_gensets_reach() -> None:
    elements, links = two_sided()
    links += [link("LV-B>LV-A")]
    net, outcome = trip(elements, links, "F-A", "F-B")
    assert fates(net, outcome, "LV-B", "PDU-B", "UPS-A", "PDU-A") == [
        Fate.RESTARTED, Fate.RESTARTED, Fate.HELD, Fate.HELD,
    ]  # fmt: skip
    assert fates(net, outcome, "M-1") == [Fate.HELD]
    # At once all 6 kW hang on the UPS: 10 kWh last 10 / (6 / 0.95) h.
    assert outcome.autonomy_s[net.number["UPS-A"]] == pytest.approx(3600 * 10 * 0.95 / 6)


def test_a_side_that_must_carry_all_is_named_where_its_breaker_will_trip() -> None:
    elements, links = two_sided()
    elements[-1] = element("M-1", K.MACHINE, demand_kw=20.0)
    net = network(elements, links)
    before = load_flow(net, supply(net))
    outcome = what_if(net, [net.number["TR-A"]], before)
    now = capacity(net, supply(net), before)
    # 10 kW on L2 are 43 A, 69 % of 63 A; 20 kW are 86.6 A.
    over = outcome.overloaded_edges(now)
    assert [net.links[edge] for edge in over] == ["LV-B>PDU-B"]
    assert outcome.against.edge_pct[over[0]] * 0.8 == pytest.approx(100 * 86.6025 / 63, abs=0.01)


def test_coolers_that_lose_their_power_leave_what_they_cooled_without() -> None:
    elements, links = two_sided()
    elements += [element("FW-1", K.FAN_WALL, demand_kw=2.0, rated_kw=50)]
    links += [link("LV-A>FW-1"), link("FW-1>PDU-B", kind=LinkKind.COOLING)]
    net, outcome = trip(elements, links, "LV-A")
    assert [net.tags[node] for node in np.flatnonzero(outcome.uncooled)] == ["PDU-B"]
    _net, outcome = trip(elements, links, "LV-B")
    assert not outcome.uncooled.any()


def test_the_table_of_single_outages_by_hand() -> None:
    elements, links = two_sided()
    elements += [element("M-2", K.MACHINE, demand_kw=4.0), element("M-3", K.MACHINE, demand_kw=1.0)]
    links += [link("PDU-A>M-2/2"), link("PDU-B>M-3/3")]
    net = network(elements, links)
    drawn = load_flow(net, supply(net)).into_kw.sum(1)
    table = n1_table(net, drawn)
    rows = {net.tags[node]: at for at, node in enumerate(table.tripped)}
    assert sorted(rows) == ["F-A", "F-B", "PDU-A", "PDU-B", "TR-A", "TR-B"]
    # Side A: the UPS holds M-2 at first; nothing follows. Side B: M-3 is dark until the genset runs.
    for tag, at_once, for_good in (("TR-A", 0, 4), ("PDU-A", 4, 4), ("TR-B", 1, 0), ("PDU-B", 1, 1), ("F-B", 1, 0)):
        assert (table.at_once_kw[rows[tag]], table.for_good_kw[rows[tag]]) == (at_once, for_good), tag
    assert table.for_good[rows["TR-A"]] == 1


PLANTS = st.integers(3, 12).flatmap(
    lambda count: st.tuples(
        st.lists(st.sampled_from([K.UTILITY_FEED, K.PDU, K.PDU, K.GENSET, K.MACHINE]), min_size=count, max_size=count),
        st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=30),
    )
)


@given(PLANTS)
def test_single_outages_and_pairs_agree_with_taking_the_elements_out(
    case: tuple[list[ElementKind], list[tuple[int, int]]],
) -> None:
    kinds, ends = case
    elements = [element(str(at), kind) for at, kind in enumerate(kinds)]
    net = network(elements, [link(f"{begin}>{end}") for begin, end in ends if begin != end])
    weight = np.where(net.consumes, 1.0, 0.0)

    def dark(*tripped: int) -> int:
        out = np.zeros(net.count, np.bool_)
        out[list(tripped)] = True
        before, after = (supply(net, each, without=(Tier.BATTERY,)).tier for each in (None, out))
        return int(((before < Tier.DARK) & (after == Tier.DARK) & net.consumes).sum())

    every = np.arange(net.count, dtype=np.int32)
    table = n1_table(net, weight, tuple(K))
    assert [dark(node) for node in table.tripped] == list(table.for_good)
    pairs = n2_table(net, weight, every)
    assert [dark(*pair) for pair in pairs.pairs] == list(pairs.dark)


def test_too_many_pairs_are_refused() -> None:
    net = network(*two_sided())
    with pytest.raises(ValueError, match="at most"):
        n2_table(net, np.zeros(net.count), np.zeros(400, np.int32))


def test_a_trace_leads_to_the_sources_with_each_element_once() -> None:
    net = network(*two_sided())
    found = trace(net, net.number["M-1"])
    assert [net.tags[node] for node in found.nodes[:3]] == ["M-1", "PDU-A", "PDU-B"]
    assert {net.tags[node] for node in found.ends} == {"F-A", "F-B", "G-1"}
    assert len(found.edges) == 10
    down = trace(net, net.number["TR-A"], up=False)
    assert {net.tags[node] for node in down.ends} == {"M-1"}


def test_two_inputs_are_two_paths_only_if_no_element_is_needed_by_both() -> None:
    elements, links = two_sided()

    def verdict(links: list[Link]) -> tuple[Verdict, list[str]]:
        net = network(elements, links)
        found = diversity(net, net.number["M-1"], supply_dominators(net))
        return found.verdict, [net.tags[node] for node in found.single_points]

    assert verdict(links) == (Verdict.DISJOINT, [])
    # Side B comes from A's board after all: that board, its transformer and its feed take both down.
    moved = [link("LV-A>PDU-B") if each.tag == "LV-B>PDU-B" else each for each in links]
    assert verdict(moved) == (Verdict.SHARED, ["LV-A", "TR-A", "F-A"])
    # A tie between the boards joins the paths, but neither board is needed by both.
    assert verdict([*links, link("LV-A>LV-B"), link("LV-B>LV-A")]) == (Verdict.MESHED, [])
    assert verdict([each for each in links if each.target != "PDU-B"])[0] is Verdict.SHARED
    assert verdict([each for each in links if each.tag != "PDU-B>M-1/2/B"])[0] is Verdict.SINGLE
    assert verdict([each for each in links if each.target != "M-1"])[0] is Verdict.UNFED
