"""The black-out sequence as a state machine: what is ordered when the grid goes, with no solver and no plan. Pure.

Grid lost: the UPS holds its loads, everything else is off, a genset is started, tried again, and the next one after it.
A genset is ready: loads come back one by one, the dearest first, a dead time apart, as far as what is ready carries.
The grid is back and stays: over to it, the rest of the loads, then mining in a ramp. Nobody knows how the grid is: for
a while nothing is added, then it counts as lost, because an engine started in vain costs less than an empty UPS.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

INF = float("inf")


class Phase(StrEnum):
    """Where the sequence stands."""

    GRID = "grid"
    HOLD = "hold"
    """The UPS carries its loads while a genset is started."""
    ISLAND = "island"
    BACK = "back"
    """On gensets; the grid is there, and is watched until it has been for long enough."""
    RETURN = "return"
    """On the grid; loads and mining come back."""
    DARK = "dark"
    """No genset came; the UPS lasts as long as it lasts."""


class Source(StrEnum):
    """What the site's bus is joined to."""

    GRID = "grid"
    GENSETS = "gensets"
    UPS = "ups"


@dataclass(frozen=True, slots=True)
class Block:
    """Loads that are switched together. Lower ``order`` is shed first and comes back last; ``on_ups`` is never dark."""

    tag: str
    kw: float
    order: int
    on_ups: bool = False


@dataclass(frozen=True, slots=True)
class Plant:
    """What there is: blocks, gensets in the order in which they are started with their ratings [kW], mining [kW]."""

    blocks: tuple[Block, ...]
    gensets: tuple[tuple[str, float], ...]
    mining_kw: float


@dataclass(frozen=True, slots=True)
class Times:
    """Settings. Times in seconds; ``margin`` is the share of a genset's rating that loads are brought back onto."""

    confirm_s: float = 1.0
    unknown_s: float = 5.0
    start_s: float = 15.0
    rest_s: float = 5.0
    tries: int = 3
    dead_s: float = 10.0
    blip_s: float = 10.0
    stable_s: float = 300.0
    cool_s: float = 180.0
    dark_s: float = 120.0
    ups_low_s: float = 300.0
    ramp_kw_s: float = 50.0
    margin: float = 0.8


@dataclass(frozen=True, slots=True)
class Seen:
    """What the plant says now. None: not known. ``ready`` has a genset's word that its breaker may be closed."""

    grid: bool | None
    ready: Mapping[str, bool | None] = field(default_factory=dict)
    ups_s: float | None = None


@dataclass(frozen=True, slots=True)
class State:
    """All that is remembered between two looks. ``tried`` counts starts of each genset since the grid went."""

    phase: Phase = Phase.GRID
    since_s: float = 0.0
    grid_bad_since_s: float | None = None
    grid_good_since_s: float | None = None
    starting: str = ""
    """The genset that is being started; empty: none."""
    start_since_s: float = 0.0
    rests_until_s: float = -INF
    tried: tuple[tuple[str, int], ...] = ()
    runs: frozenset[str] = frozenset()
    """Gensets that are told to run."""
    unknown_since_s: tuple[tuple[str, float], ...] = ()
    carried: frozenset[str] = frozenset()
    moved_s: float = -INF
    """When the last block was brought back."""
    mining_kw: float = INF
    mining_s: float = 0.0
    cool_until_s: float = -INF


@dataclass(frozen=True, slots=True)
class Orders:
    """What holds now: gensets that run, what the bus is joined to, blocks with power, the limit of mining [kW].

    ``events`` name what happened at this look, for the record and the alarms.
    """

    runs: frozenset[str]
    source: Source
    carried: frozenset[str]
    mining_kw: float
    events: tuple[str, ...] = ()


def begin(plant: Plant, now_s: float, seen: Seen | None = None) -> State:
    """All well: the grid carries all. But where the grid is away and gensets are ready, they are taken to carry.

    Nobody knows which blocks have power then; those of the UPS are kept, the others come back one by one.
    """
    carried = frozenset(block.tag for block in plant.blocks)
    runs = frozenset(tag for tag, _rating in plant.gensets if seen is not None and seen.ready.get(tag))
    if seen is not None and seen.grid is False and runs:
        held = frozenset(block.tag for block in plant.blocks if block.on_ups)
        return State(Phase.ISLAND, now_s, grid_bad_since_s=now_s, runs=runs, carried=held, moved_s=now_s, mining_kw=0.0)
    return State(since_s=now_s, carried=carried, grid_good_since_s=now_s)


def advance(plant: Plant, times: Times, state: State, seen: Seen, now_s: float) -> tuple[State, Orders]:
    """One look; as often as the plant is read, once a second or so."""
    before = state
    state = _watch_grid(times, state, seen, now_s)
    if _is_lost(times, state, now_s) and state.phase in {Phase.GRID, Phase.RETURN}:
        state = _lose(plant, state, now_s)
    state = _step(plant, times, state, seen, now_s)
    state = _cool(state, now_s)
    return state, Orders(state.runs, _source(state), state.carried, state.mining_kw, _events(before, state))


def _watch_grid(times: Times, state: State, seen: Seen, now_s: float) -> State:
    """Unknown is neither good nor bad: it interrupts what is good, and after a while it counts as bad."""
    if seen.grid:
        good = state.grid_good_since_s if state.grid_bad_since_s is None else None
        return replace(state, grid_bad_since_s=None, grid_good_since_s=now_s if good is None else good)
    waits_s = 0.0 if seen.grid is False else max(0.0, times.unknown_s - times.confirm_s)
    bad = state.grid_bad_since_s
    if bad is None:
        bad = now_s + waits_s
    elif seen.grid is False:
        bad = min(bad, now_s)
    return replace(state, grid_bad_since_s=bad, grid_good_since_s=None)


def _is_lost(times: Times, state: State, now_s: float) -> bool:
    return state.grid_bad_since_s is not None and now_s - state.grid_bad_since_s >= times.confirm_s


def _good_for(state: State, now_s: float) -> float:
    return -1.0 if state.grid_good_since_s is None else now_s - state.grid_good_since_s


def _lose(plant: Plant, state: State, now_s: float) -> State:
    """The UPS holds what is its; mining stops at once, and starts of gensets are counted anew."""
    held = frozenset(block.tag for block in plant.blocks if block.on_ups) & state.carried
    return replace(
        _to(state, Phase.HOLD, now_s),
        carried=held,
        mining_kw=0.0,
        mining_s=now_s,
        tried=(),
        starting="",
        rests_until_s=-INF,
        cool_until_s=-INF,
        moved_s=-INF,
    )


def _step(plant: Plant, times: Times, state: State, seen: Seen, now_s: float) -> State:
    if state.phase in {Phase.HOLD, Phase.DARK}:
        return _on_ups(plant, times, state, seen, now_s)
    if state.phase in {Phase.ISLAND, Phase.BACK}:
        return _on_gensets(plant, times, state, seen, now_s)
    if state.phase is Phase.RETURN:
        return _returning(plant, times, state, now_s)
    return state


def _on_ups(plant: Plant, times: Times, state: State, seen: Seen, now_s: float) -> State:
    if _good_for(state, now_s) >= times.blip_s:
        return _over_to_grid(times, state, now_s)
    state, there_kw = _ready_kw(plant, times, state, seen, now_s)
    if there_kw <= 0 or state.starting:
        state = _start_next(plant, times, state, seen, now_s)
    if there_kw > 0:
        state = _shed_to(plant, replace(_to(state, Phase.ISLAND, now_s), moved_s=now_s), there_kw)
    elif state.phase is Phase.HOLD and not state.starting and _spent(plant, times, state):
        state = _to(state, Phase.DARK, now_s)
    elif state.phase is Phase.DARK and now_s - state.since_s >= times.dark_s:
        state = replace(_to(state, Phase.HOLD, now_s), tried=())
    if state.phase in {Phase.HOLD, Phase.DARK} and seen.ups_s is not None and seen.ups_s < times.ups_low_s:
        state = _spare_ups(plant, times, state, now_s)
    return state


def _on_gensets(plant: Plant, times: Times, state: State, seen: Seen, now_s: float) -> State:
    good_s = _good_for(state, now_s)
    if good_s >= times.stable_s:
        return _over_to_grid(times, state, now_s)
    phase = Phase.BACK if good_s >= 0 else Phase.ISLAND
    state = state if state.phase is phase else _to(state, phase, now_s)
    state, there_kw = _ready_kw(plant, times, state, seen, now_s)
    if there_kw <= 0:
        return replace(_lose(plant, state, now_s), tried=state.tried)
    state = _shed_to(plant, state, there_kw)
    waiting = _next_block(plant, state)
    is_full = waiting is not None and _load_kw(plant, state) + waiting.kw > times.margin * there_kw
    if state.starting or (is_full and phase is Phase.ISLAND):
        return _start_next(plant, times, state, seen, now_s)
    if waiting is not None and not is_full and phase is Phase.ISLAND and now_s - state.moved_s >= times.dead_s:
        state = replace(state, carried=state.carried | {waiting.tag}, moved_s=now_s)
    return state


def _returning(plant: Plant, times: Times, state: State, now_s: float) -> State:
    """Blocks first, then mining in a ramp; nothing is added while nobody knows how the grid is."""
    if _good_for(state, now_s) < 0:
        return replace(state, moved_s=now_s, mining_s=now_s)
    waiting = _next_block(plant, state)
    if waiting is not None:
        if now_s - state.moved_s >= times.dead_s:
            state = replace(state, carried=state.carried | {waiting.tag}, moved_s=now_s, mining_s=now_s)
        return state
    if now_s - state.moved_s < times.dead_s:
        return replace(state, mining_s=now_s)
    mining_kw = state.mining_kw + times.ramp_kw_s * max(0.0, now_s - state.mining_s)
    if mining_kw >= plant.mining_kw:
        return replace(_to(state, Phase.GRID, now_s), mining_kw=INF)
    return replace(state, mining_kw=mining_kw, mining_s=now_s)


def _over_to_grid(times: Times, state: State, now_s: float) -> State:
    """Onto the grid with what is carried; gensets cool down without load."""
    return replace(
        _to(state, Phase.RETURN, now_s),
        moved_s=now_s,
        mining_s=now_s,
        starting="",
        cool_until_s=now_s + times.cool_s,
    )


def _start_next(plant: Plant, times: Times, state: State, seen: Seen, now_s: float) -> State:
    """Go on with the genset that is being started, or begin with the next that has tries left."""
    if state.starting:
        if seen.ready.get(state.starting):
            return replace(state, starting="")
        if now_s - state.start_since_s < times.start_s:
            return state
        return replace(state, runs=state.runs - {state.starting}, starting="", rests_until_s=now_s + times.rest_s)
    if now_s < state.rests_until_s:
        return state
    tried = dict(state.tried)
    for tag, _rating in plant.gensets:
        if tag not in state.runs and tried.get(tag, 0) < times.tries:
            tried[tag] = tried.get(tag, 0) + 1
            return replace(
                state,
                starting=tag,
                start_since_s=now_s,
                runs=state.runs | {tag},
                tried=tuple(sorted(tried.items())),
            )
    return state


def _spent(plant: Plant, times: Times, state: State) -> bool:
    """Whether none is left to be started. One that is told to run and says nothing cannot be started again."""
    tried = dict(state.tried)
    return all(tag in state.runs or tried.get(tag, 0) >= times.tries for tag, _rating in plant.gensets)


def _ready_kw(plant: Plant, times: Times, state: State, seen: Seen, now_s: float) -> tuple[State, float]:
    """What the gensets that run can give. One that carries and falls silent counts for a while, then no more.

    While none carries, only a genset's word counts.
    """
    silent, there_kw = dict(state.unknown_since_s), 0.0
    wait_s = times.unknown_s if state.phase in {Phase.ISLAND, Phase.BACK} else 0.0
    for tag, rating_kw in plant.gensets:
        word = seen.ready.get(tag)
        if word is None and tag in state.runs and tag != state.starting:
            since_s = silent.setdefault(tag, now_s)
            there_kw += rating_kw if now_s - since_s < wait_s else 0.0
            continue
        silent.pop(tag, None)
        if word and tag in state.runs:
            there_kw += rating_kw
        elif word is False and tag in state.runs and tag != state.starting:
            state = replace(state, runs=state.runs - {tag})
    return replace(state, unknown_since_s=tuple(sorted(silent.items()))), there_kw


def _next_block(plant: Plant, state: State) -> Block | None:
    """What comes back next: the dearest that is dark."""
    dark = [block for block in plant.blocks if block.tag not in state.carried]
    return max(dark, key=lambda block: (block.on_ups, block.order), default=None)


def _load_kw(plant: Plant, state: State) -> float:
    return sum(block.kw for block in plant.blocks if block.tag in state.carried)


def _shed_to(plant: Plant, state: State, there_kw: float) -> State:
    """Shed in order until the rest fits what is there."""
    for block in sorted(plant.blocks, key=lambda one: (one.on_ups, one.order)):
        if _load_kw(plant, state) <= there_kw:
            break
        state = replace(state, carried=state.carried - {block.tag})
    return state


def _spare_ups(plant: Plant, times: Times, state: State, now_s: float) -> State:
    """A UPS that runs low sheds its cheapest block, a dead time apart; the last one, the control room's, stays."""
    held = sorted((one for one in plant.blocks if one.tag in state.carried), key=lambda one: one.order)
    if len(held) <= 1 or now_s - state.moved_s < times.dead_s:
        return state
    return replace(state, carried=state.carried - {held[0].tag}, moved_s=now_s)


def _cool(state: State, now_s: float) -> State:
    """Back on the grid, gensets stop once they have cooled down."""
    if state.phase in {Phase.RETURN, Phase.GRID} and state.runs and now_s >= state.cool_until_s:
        return replace(state, runs=frozenset(), unknown_since_s=())
    return state


def _source(state: State) -> Source:
    if state.phase in {Phase.ISLAND, Phase.BACK}:
        return Source.GENSETS
    return Source.UPS if state.phase in {Phase.HOLD, Phase.DARK} else Source.GRID


def _to(state: State, phase: Phase, now_s: float) -> State:
    return replace(state, phase=phase, since_s=now_s)


def _events(before: State, after: State) -> tuple[str, ...]:
    """What happened, in words of the record: ``phase:…``, ``start:…``, ``stop:…``, ``shed:…``, ``restored:…``."""
    found = [f"phase:{after.phase}"] if after.phase is not before.phase else []
    found += [f"start:{tag}" for tag in sorted(after.runs - before.runs)]
    found += [f"stop:{tag}" for tag in sorted(before.runs - after.runs)]
    found += [f"shed:{tag}" for tag in sorted(before.carried - after.carried)]
    return tuple(found + [f"restored:{tag}" for tag in sorted(after.carried - before.carried)])
