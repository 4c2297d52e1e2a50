"""Which alarms are consequences of which: one alarm for a tripped transformer, not one for all that it feeds. Pure.

A supply is lost at an element when all that gives it there is lost; then the element gives nothing either, unless it
holds (a UPS). What is lost is followed from the elements whose own alarm says that they stopped giving. Where such an
element says nothing itself, it is concluded from what it feeds: all of that dark, none of it bright.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from mbongi.facility.rules.alarm_limits import Follows, Supply

LEAD = timedelta(seconds=60)
"""An alarm that rose longer before the loss is no consequence of it; polls differ by less."""
WINDOW = timedelta(seconds=5)
"""So long an alarm that may be a consequence waits for its root before anybody is told of it."""
PATIENCE = timedelta(seconds=3)
"""So long a root has to speak for itself before it is concluded from what it feeds; within ``WINDOW``."""
SETTLE = timedelta(seconds=60)
"""So long after its root has cleared a consequence may take to clear before it rises by itself."""
INFERRED = {Supply.POWER: "power-lost-inferred", Supply.COOLING: "cooling-lost-inferred"}
"""Keys of the built-in definitions that stand for roots which say nothing themselves."""
DARK_MIN = 2
"""Elements without supply from which a silent root is concluded, at least."""

Edge = tuple[str, str, Supply]
"""What gives, what is given to, and what."""
Loss = tuple[str, Supply]


class Sense(Enum):
    """What an element's own readings say of a supply."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Plant:
    """How the plant is joined. ``holds``: elements that go on giving without being given to, for a while.

    ``idle``: sources that give nothing at present and are no fault, such as a genset at rest or an open breaker.
    """

    edges: Sequence[Edge] = ()
    holds: Collection[str] = frozenset()
    idle: Collection[str] = frozenset()
    gives: Mapping[str, list[Loss]] = field(init=False, repr=False, compare=False)
    given: Mapping[Loss, list[str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        gives: dict[str, list[Loss]] = defaultdict(list)
        given: dict[Loss, list[str]] = defaultdict(list)
        for source, target, supply in dict.fromkeys(self.edges):
            gives[source].append((target, supply))
            given[target, supply].append(source)
        object.__setattr__(self, "gives", dict(gives))
        object.__setattr__(self, "given", dict(given))


@dataclass(frozen=True, slots=True)
class Standing:
    """An alarm whose condition is there. ``stops``: what its element no longer gives."""

    id: int
    tag: str
    raised_at: datetime
    stops: Supply | None = None
    follows: tuple[Follows, ...] = ()


@dataclass(slots=True)
class Losses:
    """What is lost where, and through which element's alarm; None: by idle sources alone."""

    whole: dict[Loss, str | None] = field(default_factory=dict)
    part: dict[Loss, str] = field(default_factory=dict)

    def cause(self, tag: str, follows: Iterable[Follows]) -> str | None:
        """The element through whose alarm ``tag`` lost one of these; None: it did not."""
        for each in follows:
            key = (tag, each.supply)
            found = self.part.get(key) if each.is_part else self.whole.get(key)
            if found is not None:
                return found
        return None


def losses(plant: Plant, stopped: Mapping[str, Supply]) -> Losses:
    """What is lost while these elements do not give; ``stopped`` with the earliest first, whose word goes first."""
    found = Losses()
    left = {key: len(sources) for key, sources in plant.given.items()}
    queue: deque[tuple[str, Supply | None, str | None]] = deque((tag, None, None) for tag in plant.idle)
    queue.extend((tag, supply, tag) for tag, supply in stopped.items())
    gone: set[Edge] = set()
    while queue:
        source, only, root = queue.popleft()
        for target, supply in plant.gives.get(source, ()):
            # Without power nothing is given; without cooling, power still is.
            is_off = only in {None, Supply.POWER} or supply is only
            if not is_off or (source, target, supply) in gone:
                continue
            gone.add((source, target, supply))
            key = (target, supply)
            left[key] -= 1
            if root is not None:
                found.part.setdefault(key, root)
            if left[key] == 0:
                found.whole[key] = found.part.get(key)
                if target not in plant.holds and target not in stopped:
                    queue.append((target, supply, found.part.get(key)))
    return found


def roots(plant: Plant, standing: Sequence[Standing]) -> dict[int, int]:
    """The root of each alarm that is a consequence: ids to ids. Alarms that are not in it stand for themselves."""
    ordered = sorted(standing, key=lambda each: (each.raised_at, each.id))
    speaking: dict[str, Standing] = {}
    for each in ordered:
        if each.stops is not None:
            speaking.setdefault(each.tag, each)
    found = losses(plant, {tag: each.stops for tag, each in speaking.items() if each.stops is not None})
    above: dict[int, Standing] = {}
    for each in ordered:
        own = speaking.get(each.tag)
        if own is not None and own is not each and each.follows and _is_after(each, own):
            above[each.id] = own
            continue
        cause = found.cause(each.tag, each.follows)
        if cause is not None and cause != each.tag and _is_after(each, speaking[cause]):
            above[each.id] = speaking[cause]
    return {each.id: root for each in ordered if (root := _top(each, above)) != each.id}


def _is_after(each: Standing, cause: Standing) -> bool:
    return each.raised_at >= cause.raised_at - LEAD


def _top(each: Standing, above: Mapping[int, Standing]) -> int:
    """The uppermost cause; elements in a ring that blame one another stand for themselves."""
    seen, here = {each.id}, each
    while (cause := above.get(here.id)) is not None:
        if cause.id in seen:
            return each.id
        seen.add(cause.id)
        here = cause
    return here.id


Ask = Callable[[str, Supply], Sense]


@dataclass(frozen=True)
class Evidence:
    """What silent roots are concluded from.

    ``dark``: elements whose alarms say that they lost the supply, and that no root explains. ``stopped``: those whose
    own alarms say that they give nothing. ``gives`` is what an element's own readings say of what it gives, ``gets`` of
    what it is given.
    """

    supply: Supply
    dark: Collection[str]
    stopped: Mapping[str, Supply]
    gives: Ask
    gets: Ask


def silent_roots(plant: Plant, seen: Evidence) -> dict[str, frozenset[str]]:
    """Elements that must have stopped giving although they do not say so, with what of the dark ones they explain.

    An element that says that it gives, or one of whose dependants is bright, is none; nor is one with fewer than
    DARK_MIN dark ones right below it. Of several above one another the uppermost is the root.
    """
    below: dict[str, frozenset[str]] = {tag: frozenset({tag}) for tag in seen.dark}
    concluded: dict[str, frozenset[str]] = {}
    given_up = {*seen.stopped, *plant.idle}
    queue = deque(sorted({source for tag in seen.dark for source in plant.given.get((tag, seen.supply), ())}))
    while queue:
        tag = queue.popleft()
        if tag in concluded or tag in below or tag in given_up or seen.gives(tag, seen.supply) is Sense.GOOD:
            continue
        children = [target for target, kind in plant.gives.get(tag, ()) if kind is seen.supply]
        fed = [child for child in children if child in below and _only_by(plant, child, tag, seen)]
        bright = any(seen.gets(child, seen.supply) is Sense.GOOD for child in children if child not in below)
        if bright or len(fed) < DARK_MIN:
            continue
        concluded[tag] = below[tag] = frozenset().union(*(below[child] for child in fed))
        queue.extend(plant.given.get((tag, seen.supply), ()))
    tops = {tag: fed for tag, fed in concluded.items() if not _is_below(plant, tag, seen.supply, concluded)}
    lost = losses(plant, {**seen.stopped, **dict.fromkeys(tops, seen.supply)}).whole
    borne = {tag: frozenset(each for each in fed if (each, seen.supply) in lost) for tag, fed in tops.items()}
    return {tag: fed for tag, fed in borne.items() if len(fed) >= DARK_MIN}


def _only_by(plant: Plant, child: str, tag: str, seen: Evidence) -> bool:
    """Whether no other feed of the child is known to give."""
    others = [source for source in plant.given[child, seen.supply] if source != tag]
    silent = (source for source in others if source not in plant.idle and source not in seen.stopped)
    return all(seen.gives(source, seen.supply) is not Sense.GOOD for source in silent)


def _is_below(plant: Plant, tag: str, supply: Supply, concluded: Mapping[str, frozenset[str]]) -> bool:
    """Whether one above it was concluded too, and so explains it."""
    return any(source in concluded and source != tag for source in plant.given.get((tag, supply), ()))


def reached(plant: Plant, tag: str, supply: Supply) -> frozenset[str]:
    """What loses one feed of the supply or all of them while an element gives none."""
    return frozenset(target for target, kind in losses(plant, {tag: supply}).part if kind is supply)
