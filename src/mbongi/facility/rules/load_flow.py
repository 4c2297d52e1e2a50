"""What flows where: load per phase and element, by meters where they are and by models elsewhere. Pure.

Loads are summed from the consumers up. Redundant inputs share alike; a transformer or UPS draws its output divided by
its efficiency; reactive power passes through. Phases keep their names through transformers, so a delta winding's
mixing of phases is left out; drops of voltage are too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from mbongi.facility.rules.graph import by_layer
from mbongi.facility.rules.network import Network, Reals, Supply
from mbongi.facility.rules.three_phase import neutral_current_a, phase_currents_a, unbalance_pct


class Basis(IntEnum):
    """Where a load comes from."""

    MODEL = 0
    MIXED = 1
    """Meters below it see a part."""
    METER = 2


METERED_SHARE = 0.999
"""From this share on, a load that is summed from meters counts as metered."""


@dataclass(frozen=True, slots=True)
class Loads:
    """Per node (N, 3) and per edge (E, 3), kW and kvar by phase. ``into`` is drawn, ``out_of`` is handed on.

    ``metered`` is the part of each node's drawn total that comes from a meter, 0 to 1. ``is_read`` marks nodes that
    have a meter themselves.
    """

    into_kw: Reals
    into_kvar: Reals
    out_kw: Reals
    out_kvar: Reals
    edge_kw: Reals
    edge_kvar: Reals
    metered: Reals
    is_read: NDArray[np.bool_]

    @property
    def loss_kw(self) -> Reals:
        """What each element that passes power on keeps as heat, by phases together."""
        return np.where(self.out_kw.sum(1) > 0, np.maximum(0.0, self.into_kw.sum(1) - self.out_kw.sum(1)), 0.0)

    def basis(self, node: int) -> Basis:
        """Whether a node's load is measured, modelled, or both."""
        if self.is_read[node]:
            return Basis.METER
        share = self.metered[node]
        return Basis.METER if share >= METERED_SHARE else Basis.MIXED if share > 0 else Basis.MODEL

    def currents_a(self, net: Network) -> NDArray[np.complex128]:
        """(N, 3) phasors of what each element hands on, or draws where it hands nothing on."""
        passes = (self.out_kw.sum(1) > 0)[:, None]
        return phase_currents_a(
            np.where(passes, self.out_kw, self.into_kw), np.where(passes, self.out_kvar, self.into_kvar), net.line_v
        )

    def neutral_a(self, net: Network) -> Reals:
        """What each element's neutral carries."""
        return neutral_current_a(self.currents_a(net))

    def unbalance(self, net: Network) -> Reals:
        """Of the currents, in percent of their mean."""
        return unbalance_pct(self.currents_a(net))


def readings_of(net: Network, readings: Mapping[str, tuple[float, ...]]) -> Reals:
    """(N, 3) kW from readings by tag, of one total or of three phases; NaN where there is none, or no such element.

    A total is taken as balanced. The caller leaves out readings that are too old.
    """
    found = np.full((net.count, 3), np.nan)
    for tag, values in readings.items():
        if tag in net.number and len(values) in {1, 3}:
            found[net.number[tag]] = values if len(values) == 3 else values[0] / 3
    return found


def load_flow(net: Network, state: Supply, measured_kw: Reals | None = None) -> Loads:
    """The loads in a state of the plant; ``measured_kw`` as ``readings_of`` gives them.

    What a meter says replaces what is modelled below it, for all that is above. An element that is not fed draws
    nothing, whatever an old reading said.
    """
    graph = net.graph
    is_fed = state.layer >= 0
    is_read = np.zeros(net.count, np.bool_) if measured_kw is None else ~np.isnan(measured_kw).any(1) & is_fed
    edges_of = state.edges_by_layer(graph)
    carrying = np.concatenate([*edges_of.values(), np.zeros(0, np.intp)])
    share = 1.0 / np.maximum(1, np.bincount(graph.target[carrying], minlength=net.count))
    own = np.where(is_fed, net.demand_kw, 0.0)
    # Real, reactive and metered real power walk up together: (…, 3 phases, 3).
    drawn = np.zeros((net.count, 3, 3))
    drawn[:, :, 0] = own[:, None] / 3
    drawn[:, :, 1] = drawn[:, :, 0] * net.tan_phi[:, None]
    handed = np.zeros((net.count, 3, 3))
    flows = np.zeros((graph.edges, 3, 3))
    phases = net.phase[:, None] == np.arange(3)
    gain = 1.0 / net.efficiency
    for nodes in by_layer(state.layer, falling=True):
        below = handed[nodes]
        below[:, :, 0] *= gain[nodes][:, None]
        below[:, :, 2] *= gain[nodes][:, None]
        drawn[nodes] += below
        if measured_kw is not None:
            _read(drawn, nodes[is_read[nodes]], measured_kw)
        edges = edges_of.get(int(state.layer[nodes[0]]))
        if edges is None:
            continue
        ends = graph.target[edges]
        flow = drawn[ends] * share[ends][:, None, None]
        single = net.phase[edges] < 3
        flow[single] = flow[single].sum(1)[:, None, :] * phases[edges[single]][:, :, None]
        flows[edges] = flow
        np.add.at(handed, graph.source[edges], flow)
    _by_links(net, drawn, flows, carrying)
    total = drawn[:, :, 0].sum(1)
    metered = np.divide(drawn[:, :, 2].sum(1), total, out=np.zeros(net.count), where=total > 0)
    return Loads(
        drawn[:, :, 0], drawn[:, :, 1], handed[:, :, 0], handed[:, :, 1], flows[:, :, 0], flows[:, :, 1],
        np.clip(metered, 0.0, 1.0), is_read,
    )  # fmt: skip


def _read(drawn: Reals, nodes: NDArray[np.intp], measured_kw: Reals) -> None:
    """Put what meters say in place of what is modelled; the power factor stays as modelled."""
    modelled, found = drawn[nodes, :, 0].sum(1), measured_kw[nodes]
    ratio = np.divide(drawn[nodes, :, 1].sum(1), modelled, out=np.zeros(len(nodes)), where=modelled > 0)
    drawn[nodes] = np.stack([found, found * ratio[:, None], found], axis=2)


def _by_links(net: Network, drawn: Reals, flows: Reals, carrying: NDArray[np.intp]) -> None:
    """Put what each node draws on the phases of the links that bring it."""
    ends = net.graph.target[carrying]
    fed = np.unique(ends)
    drawn[fed] = 0.0
    np.add.at(drawn, ends, flows[carrying])
