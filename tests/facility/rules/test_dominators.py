"""Held against networkx's dominators, and against the definition: take the element out and see who is left."""

import networkx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mbongi.facility.rules.dominators import APART, ROOT, dominators
from mbongi.facility.rules.graph import Graph

GRAPHS = st.integers(2, 14).flatmap(
    lambda count: st.tuples(
        st.just(count),
        st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=40),
        st.sets(st.integers(0, count - 1), min_size=1, max_size=3),
    )
)


def graph_of(count: int, edges: list[tuple[int, int]]) -> Graph:
    ends = np.array(edges, np.int32).reshape(-1, 2)
    return Graph.of(count, ends[:, 0], ends[:, 1])


@given(GRAPHS)
def test_the_tree_is_that_of_networkx_with_rings_and_parallel_edges(
    case: tuple[int, list[tuple[int, int]], set[int]],
) -> None:
    count, edges, sources = case
    found = dominators(graph_of(count, edges), np.array(sorted(sources), np.int32), np.ones(len(edges), np.bool_))
    reference = networkx.DiGraph(edges)
    reference.add_nodes_from(range(count))
    reference.add_edges_from(("root", source) for source in sources)
    expected = networkx.immediate_dominators(reference, "root")
    for node in range(count):
        above = expected.get(node)
        assert found.above[node] == (APART if above is None else ROOT if above == "root" else above)


@given(GRAPHS)
def test_what_lies_below_an_element_is_what_loses_its_last_way_without_it(
    case: tuple[int, list[tuple[int, int]], set[int]],
) -> None:
    count, edges, sources = case
    graph, roots = graph_of(count, edges), np.array(sorted(sources), np.int32)
    every = np.ones(len(edges), np.bool_)
    below = dominators(graph, roots, every).below(np.ones(count))
    was = graph.reached(roots, every)
    for node in range(count):
        without = every & (graph.source != node) & (graph.target != node)
        still = graph.reached(roots[roots != node], without)
        assert below[node] == (was & ~still).sum()


def test_an_edge_that_may_not_be_walked_counts_as_absent() -> None:
    graph = graph_of(3, [(0, 1), (1, 2), (0, 2)])
    found = dominators(graph, np.array([0], np.int32), np.array([True, True, False]))
    assert found.chain(2) == [1, 0]
    assert dominators(graph, np.array([0], np.int32), np.ones(3, np.bool_)).chain(2) == [0]
