"""Proof of origin: what of the energy of a contract is proven to be renewable, hour by hour or over a period. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate: energy made from one time to another, for one source. Its number is used once."""

    number: str
    source: str
    start: datetime
    end: datetime
    kwh: float


def problem(certificates: Sequence[Certificate]) -> str:
    """Why certificates cannot be counted; empty where they can. No number counts twice."""
    numbers = [one.number for one in certificates]
    twice = {number for number in numbers if numbers.count(number) > 1}
    if twice:
        return f"certificate {sorted(twice)[0]}: given more than once"
    bad = next((one for one in certificates if one.kwh <= 0 or one.end <= one.start), None)
    return "" if bad is None else f"certificate {bad.number}: {bad.kwh:g} kWh from {bad.start} to {bad.end}"


def proven_kwh(used_kwh: float, source: str, start: datetime, end: datetime, proofs: Sequence[Certificate]) -> float:
    """What of the energy used of a source in an interval is proven: of each certificate the part that lies inside.

    Never more than was used: what is proven beyond it is of no use here. Raises ValueError for ``problem``.
    """
    found = problem(proofs)
    if found:
        raise ValueError(found)
    total = 0.0
    for one in proofs:
        inside = (min(end, one.end) - max(start, one.start)).total_seconds()
        if one.source == source and inside > 0:
            total += one.kwh * inside / (one.end - one.start).total_seconds()
    return min(used_kwh, total)
