"""What pages show of the plant: its state by the newest readings, and one element of it in figures."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from mbongi.facility import inventory_wording as wording
from mbongi.facility import selectors
from mbongi.facility.plant_state import PlantState, plant_state
from mbongi.facility.rules.capacity import NOTHING, UNLIMITED_KW
from mbongi.facility.rules.load_flow import Basis
from mbongi.facility.rules.network import Network, Tier
from mbongi.facility.values import ElementKind, Quantity
from mbongi.web.live.board import BOARD
from mbongi.web.live.plant_board import PLANT

KEPT_S = 10.0
"""How long the state of the plant is shown before it is worked out anew."""
PHASES = ("L1", "L2", "L3")
_PHASE_POWERS = (Quantity.POWER_L1_W, Quantity.POWER_L2_W, Quantity.POWER_L3_W)


def state() -> PlantState:
    """The plant now, at most KEPT_S old.

    What devices measure and what machines state of their power counts as measured; machines' estimates do not.
    """
    return _state(selectors.networks()[0], int(time.time() / KEPT_S))


@lru_cache(maxsize=1)
def _state(_net: Network, _at: int) -> PlantState:
    share = settings.CONFIG.facility.breaker_pct / 100
    return plant_state(_readings(), breaker_share=share)


def _readings() -> dict[str, tuple[float, ...]]:
    """What is drawn, kW by tag, where it is known and fresh; devices go before machines' own word."""
    return _stated() | _measured()


def _measured() -> dict[str, tuple[float, ...]]:
    meters, found = selectors.metered(), {}
    for tag in PLANT.tags():
        known = {one.quantity: one.value for one in PLANT.points(tag) if one.value is not None and not one.is_stale}
        if values := power_kw(known):
            found[meters.get(tag, tag)] = values
    return found


def power_kw(known: Mapping[Quantity, float]) -> tuple[float, ...]:
    """What an element draws by its points: three phases where all are known, else a total; empty where neither is.

    Of a UPS that is its side to the grid; what it hands on says nothing of its losses.
    """
    if Quantity.INPUT_POWER_W in known:
        return (known[Quantity.INPUT_POWER_W] / 1e3,)
    if Quantity.CHARGE_PCT in known:
        return ()
    if all(phase in known for phase in _PHASE_POWERS):
        return tuple(known[phase] / 1e3 for phase in _PHASE_POWERS)
    return (known[Quantity.POWER_W] / 1e3,) if Quantity.POWER_W in known else ()


def _stated() -> dict[str, tuple[float, ...]]:
    numbers = selectors.machine_numbers()
    if not numbers:
        return {}
    now, ids = time.time(), list(numbers)
    power, fresh = BOARD.values("power_w", ids, now)
    estimated, _fresh = BOARD.values("power_estimated", ids, now)
    known = fresh & np.isfinite(power) & (estimated != 1)
    return {numbers[ids[at]]: (float(power[at]) / 1e3,) for at in np.flatnonzero(known)}


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """One phase of an element."""

    name: str
    power_kw: float
    current_a: float
    load_pct: float | None


@dataclass(frozen=True, slots=True)
class LoadSight:
    """An element's load against what it may carry; None where nothing is stated or nothing limits it."""

    tag: str
    tier: Tier
    load_kw: float
    loss_kw: float
    basis: Promise
    is_measured: bool
    load_pct: float | None
    left_kw: float | None
    stranded_kw: float | None
    limited_by: str

    @property
    def is_dark(self) -> bool:
        """Whether no source feeds it."""
        return self.tier is Tier.DARK


def load_of(plant: PlantState, tag: str) -> LoadSight | None:
    """One element's load; None where no power link touches it."""
    net, node = plant.power, plant.power.number.get(tag)
    if node is None or not _is_joined(net, node):
        return None
    basis, pct = plant.loads.basis(node), float(plant.against.load_pct[node])
    handed, drawn = float(plant.loads.out_kw[node].sum()), float(plant.loads.into_kw[node].sum())
    has_limit = np.isfinite(net.limit_kva[node]) or np.isfinite(net.limit_kw[node])
    left = float(plant.against.left_kw[node])
    return LoadSight(
        tag=tag,
        tier=Tier(int(plant.supply.tier[node])),
        load_kw=handed if net.by_output[node] else drawn,
        loss_kw=float(plant.loads.loss_kw[node]),
        basis=wording.BASES[basis],
        is_measured=basis is Basis.METER,
        load_pct=pct if has_limit else None,
        left_kw=None if net.consumes[node] or left >= UNLIMITED_KW else left,
        stranded_kw=float(plant.against.stranded_kw[node]) if has_limit and not net.consumes[node] else None,
        limited_by=limit_text(plant, int(plant.against.limited_by[node])),
    )


def _is_joined(net: Network, node: int) -> bool:
    graph = net.graph
    return bool(graph.out_start[node + 1] > graph.out_start[node] or graph.in_start[node + 1] > graph.in_start[node])


def limit_text(plant: PlantState, code: int) -> str:
    """What binds: an element's tag, or a link's breaker."""
    net = plant.power
    if code == NOTHING:
        return ""
    if code < net.count:
        return net.tags[code]
    return _("breaker of %(link)s") % {"link": net.links[code - net.count]}


def phases_of(plant: PlantState, tag: str) -> list[PhaseRow]:
    """The phases that an element has."""
    net, node = plant.power, plant.power.number[tag]
    currents = np.abs(plant.loads.currents_a(net)[node])
    passes = plant.loads.out_kw[node].sum() > 0
    powers = plant.loads.out_kw[node] if passes else plant.loads.into_kw[node]
    limit_a = float(net.limit_kva[node] * 1e3 / (net.line_v[node] / 3**0.5))
    return [
        PhaseRow(
            name,
            float(powers[at]),
            float(currents[at]),
            100 * float(currents[at]) / limit_a if np.isfinite(limit_a) and limit_a > 0 else None,
        )
        for at, name in enumerate(PHASES)
        if net.has_phase[node, at]
    ]


@dataclass(frozen=True, slots=True)
class WireRow:
    """A power link at an element: the other end, and what it carries."""

    tag: str
    other: str
    kind: ElementKind
    phases: str
    side: str
    carries_kw: float
    breaker_a: float | None
    breaker_pct: float | None
    is_open: bool


def wires(plant: PlantState, tag: str, *, up: bool) -> list[WireRow]:
    """What feeds an element, or what it feeds."""
    net, graph = plant.power, plant.power.graph
    node = np.array([net.number[tag]], np.int32)
    edges: Iterable[int] = map(int, graph.entering(node) if up else graph.leaving(node))
    rows = []
    for edge in edges:
        other = int((graph.source if up else graph.target)[edge])
        has_breaker = bool(np.isfinite(net.edge_kva[edge]))
        voltage = float(net.line_v[graph.source[edge]])
        rows.append(
            WireRow(
                tag=net.links[edge],
                other=net.tags[other],
                kind=net.kind_of(other),
                phases="L1 L2 L3" if net.phase[edge] == 3 else PHASES[net.phase[edge]],
                side=("", "A", "B")[net.side[edge]],
                carries_kw=float(plant.loads.edge_kw[edge].sum()),
                breaker_a=float(net.edge_kva[edge] * 1e3 / (voltage / 3**0.5)) if has_breaker else None,
                breaker_pct=float(plant.against.edge_pct[edge]) if has_breaker else None,
                is_open=not plant.supply.carries[edge],
            )
        )
    return sorted(rows, key=lambda row: (row.side, row.other))
