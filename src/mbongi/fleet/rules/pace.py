"""How fast an operation may go: what of its waiting steps may begin now. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mbongi.fleet.values import Limits

BURST_S = 2.0
"""A ramp that could not be used saves up so many seconds of itself, at most; more would be a jump of the load."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How an operation stands. ``failed`` machines are those since a person last let it go on."""

    under_way: int = 0
    out_of_service: int = 0
    """Machines that hash nothing because of it: being written, or written and not yet seen to mine again."""
    failed: int = 0


class Waiting(NamedTuple):
    """A step that has not begun: by how much it changes the site's load [W], and whether its machine stops hashing.

    ``after_s``: how much later than others its machine changes its load once it is told; it is told so much earlier.
    """

    load_w: float
    stops: bool
    after_s: float = 0.0


class Release(NamedTuple):
    """So many ``steps``, the first that wait, may begin; ``ramp_kw`` is left. ``must_halt``: too many failed."""

    steps: int
    ramp_kw: float
    must_halt: bool


def saved_up(limits: Limits, ramp_kw: float, elapsed_s: float) -> float:
    """What of the ramp may be used [kW], ``elapsed_s`` after ``ramp_kw`` was left of it; 0 where there is no ramp."""
    if limits.ramp_kw_s is None:
        return 0.0
    return min(ramp_kw + limits.ramp_kw_s * max(elapsed_s, 0.0), limits.ramp_kw_s * BURST_S)


def release(limits: Limits, standing: Standing, waiting: Sequence[Waiting], ramp_kw: float) -> Release:
    """How many of the waiting steps may begin now, in their order: a step that may not holds up those after it.

    A step larger than the ramp ever saves up begins once all of that is there, and those after it wait for it. What
    begins early is owed to the ramp (below 0), and those after it wait until that is made up for.
    """
    if standing.failed >= limits.failures_max:
        return Release(0, ramp_kw, must_halt=True)
    count, stopped, begun_kw = 0, standing.out_of_service, 0.0
    for step in waiting:
        if standing.under_way + count >= limits.batch:
            break
        if step.stops and limits.out_of_service_max is not None and stopped >= limits.out_of_service_max:
            break
        if limits.ramp_kw_s is not None:
            load_kw = abs(step.load_w) / 1000.0
            burst_kw = limits.ramp_kw_s * BURST_S
            if ramp_kw + step.after_s * limits.ramp_kw_s < min(load_kw, burst_kw):
                break
            if step.after_s and begun_kw and begun_kw + load_kw > burst_kw:
                break
            ramp_kw, begun_kw = ramp_kw - load_kw, begun_kw + load_kw
        stopped += step.stops
        count += 1
    return Release(count, ramp_kw, must_halt=False)
