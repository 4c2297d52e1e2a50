"""What a page shows of machines: the record joined with the newest reading, and the state that is true right now."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from mbongi.base.clock import utc_now
from mbongi.base.ids import MachineId
from mbongi.core.identity.scope import current_scope
from mbongi.fleet import selectors
from mbongi.fleet.selectors import MachineFilter, MachineRow
from mbongi.fleet.values import MachineState
from mbongi.web.figures import stale_s
from mbongi.web.live.board import BOARD, Reading, Totals
from mbongi.web.measures import measures


@dataclass(frozen=True, slots=True)
class MachineSight:
    """One machine as it is shown. ``reading`` is None before the first one."""

    row: MachineRow
    reading: Reading | None
    now: datetime

    @property
    def id(self) -> MachineId:
        """The machine's id."""
        return self.row.id

    @property
    def name(self) -> str:
        """Position where it is known, else the address: what people on the floor call it."""
        return machine_name(self.row.rack_label, self.row.slot, self.row.address, self.row.id)

    @property
    def reading_at(self) -> datetime | None:
        """When the newest reading was taken."""
        return None if self.reading is None else datetime.fromtimestamp(self.reading.at, UTC)

    @property
    def is_stale(self) -> bool:
        """Whether its figures are too old to be believed, or missing."""
        return self.reading is None or self.reading.is_stale(self.now.timestamp())

    @property
    def heard_at(self) -> datetime | None:
        """The newest evidence of any kind about the machine."""
        known = [self.reading_at, self.row.last_seen_at, self.row.state_since]
        return max((moment for moment in known if moment is not None), default=None)

    @property
    def state(self) -> MachineState:
        """The recorded state; unknown once nobody has looked for too long, for whatever reason."""
        heard = self.heard_at
        if heard is None or (self.now - heard).total_seconds() > stale_s():
            return MachineState.UNKNOWN
        return self.row.state

    @property
    def state_since(self) -> datetime:
        """Since when that state holds."""
        if self.state is self.row.state:
            return self.row.state_since
        return self.heard_at or self.row.added_at

    def figure(self, name: str) -> float | None:
        """A measure or column of the newest reading; None where it is not known."""
        if name == "age_s":
            return None if self.reading is None else self.reading.age_s(self.now.timestamp())
        return None if self.reading is None else self.reading.figure(name)

    @property
    def figures(self) -> dict[str, float | None]:
        """Every measure by name, for templates."""
        return {name: self.figure(name) for name in measures()}

    @property
    def columns(self) -> dict[str, float | None]:
        """Every column of the newest reading by name, for templates."""
        return {} if self.reading is None else {name: self.reading.figure(name) for name in self.reading.figures}


def machine_name(rack_label: str, slot: int | None, address: str | None, machine_id: int) -> str:
    """``20/03/07`` where the position is known, else the address, else the number."""
    if rack_label and slot is not None:
        return f"{rack_label}/{slot:02d}"
    return address or f"#{machine_id}"


def machine(machine_id: int) -> MachineSight:
    """One machine. Raises UnknownMachineError."""
    return MachineSight(selectors.machine(machine_id), BOARD.reading(machine_id), utc_now())


def sights(rows: Iterable[MachineRow]) -> list[MachineSight]:
    """The rows with their newest readings."""
    now = utc_now()
    return [MachineSight(row, BOARD.reading(row.id), now) for row in rows]


@dataclass(frozen=True, slots=True)
class SightPage:
    """Part of a sorted list of machines; ``total`` counts the whole list."""

    rows: list[MachineSight]
    total: int
    offset: int
    limit: int


def machines(filters: MachineFilter, *, sort: str, limit: int, offset: int) -> SightPage:
    """A page of machines, sorted by a recorded field or by any measure; ``-`` before it turns it round."""
    name = sort.removeprefix("-")
    if name not in measures():
        page = selectors.machines(filters, sort=sort, limit=limit, offset=offset)
        return SightPage(sights(page.rows), page.total, page.offset, page.limit)
    ordered = by_measure(selectors.machine_ids(filters), name, descending=sort.startswith("-"))
    wanted = ordered[offset : offset + limit]
    rows = selectors.machine_rows(wanted)
    return SightPage(sights(rows[one] for one in wanted if one in rows), len(ordered), offset, limit)


def by_measure(ids: Sequence[MachineId], name: str, *, descending: bool) -> list[MachineId]:
    """The machines in the order of a measure; those whose figure is not known come last either way."""
    values, _fresh = BOARD.values(name, ids, utc_now().timestamp())
    # A stable sort, and NaN last: machines alike keep the order of their places.
    order = np.argsort(-values if descending else values, kind="stable")
    return [ids[place] for place in order]


def hottest(limit: int = 6) -> list[MachineSight]:
    """The machines with the hottest chips among those with a fresh reading."""
    ids = selectors.machine_ids(MachineFilter())
    values, fresh = BOARD.values("chip_temp_max_c", ids, utc_now().timestamp())
    order = np.argsort(np.where(fresh, -values, np.nan), kind="stable")[:limit]
    found = [ids[place] for place in order if fresh[place] and np.isfinite(values[place])]
    rows = selectors.machine_rows(found)
    return sights(rows[one] for one in found if one in rows)


def totals() -> Totals:
    """Sums over the fresh readings of the present scope."""
    return BOARD.totals(current_scope(), utc_now().timestamp())


def state_counts(total: int, fresh: dict[str, int]) -> dict[str, int]:
    """Machines by state, where ``total`` are recorded: whoever has no fresh reading counts as unknown."""
    known = {word: count for word, count in fresh.items() if word != MachineState.UNKNOWN.word}
    return known | {MachineState.UNKNOWN.word: max(0, total - sum(known.values()))}
