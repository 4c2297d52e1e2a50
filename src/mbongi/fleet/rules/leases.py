"""Which poller process asks which machines: 64 slots of machine ids, leased in one table that everybody reads.

The table is one document, written by compare-and-set only: a writer states the revision that it read, and loses if
another was quicker. It has every living process with a beat, and the owner of each slot. Rules of writing it:

- A process raises its beat every RENEW_S. Its lease counts from the moment before it *sent* the last write that was
  confirmed, by its own monotonic clock: it asks no machine later than HOLD_S after that moment.
- Another may strike it from the table once it has seen the same beat for TAKE_S by its own monotonic clock. It saw
  that beat after it was sent, so the holder has been silent for TAKE_S - HOLD_S at least when its slots go elsewhere:
  2 s of 8, which covers clocks that differ in speed by a fifth. No two clocks are ever compared. A beat that arrived
  meanwhile has raised the revision, and the strike fails.
- A living process's slots are given away by itself alone, after it has stopped asking their machines.
- A process asks the machines of a slot only after a write of its own was confirmed that shows it as the owner.

What a lease without the devices' help cannot exclude: a process that is stopped between the last look at its clock
and the system call that sends a question sends that one question when it goes on. Looks are made before every single
question, so that window is some microseconds wide.

In the worst case a dead process's machines have a new owner RENEW_S (its last beat is seen) + TAKE_S + RENEW_S (the
next turn of whoever strikes it, and of the new owner) = 10 s after its death.
"""

from collections.abc import Collection, Mapping

import msgspec

from mbongi.base.ids import MachineId

SLOTS = 64
ALL_SLOTS = frozenset(range(SLOTS))
RENEW_S = 1.0
"""Between two beats of a process."""
HOLD_S = 6.0
"""After this long without a confirmed beat a process asks nothing any more."""
TAKE_S = 8.0
"""A beat that stays the same for so long is a dead process's."""


class Member(msgspec.Struct, frozen=True):
    """A living process: ``incarnation`` differs from run to run of the same number."""

    incarnation: str
    beat: int


class Table(msgspec.Struct, frozen=True):
    """Who is there, who has which slot, and who leads: scans, plans operations, heals. None: nobody."""

    members: dict[int, Member] = {}
    owners: tuple[int | None, ...] = (None,) * SLOTS
    lead: int | None = None

    def slots_of(self, number: int) -> frozenset[int]:
        """The slots of a process."""
        return frozenset(slot for slot, owner in enumerate(self.owners) if owner == number)

    def counts(self) -> dict[int, int]:
        """How many slots each member has."""
        found = dict.fromkeys(self.members, 0)
        for owner in self.owners:
            if owner in found:
                found[owner] += 1
        return found


def slot_of(machine_id: MachineId | int) -> int:
    """The slot of a machine, 0 to 63."""
    return machine_id % SLOTS


def quotas(counts: Mapping[int, int]) -> dict[int, int]:
    """How many slots each member should have: all but equal, and the larger share to who has most already."""
    if not counts:
        return {}
    even, more = divmod(SLOTS, len(counts))
    by_size = sorted(counts, key=lambda number: (-counts[number], number))
    return {number: even + (place < more) for place, number in enumerate(by_size)}


def surplus(table: Table, number: int) -> dict[int, int]:
    """The slots that this member should give away, each with its receiver."""
    counts = table.counts()
    wanted = quotas(counts)
    over = counts.get(number, 0) - wanted.get(number, 0)
    if over <= 0:
        return {}
    receivers = [each for each in sorted(counts) for _ in range(wanted[each] - counts[each])]
    # Everybody comes to the same list: whoever stands before us gives to the first receivers.
    before = sum(max(0, counts[each] - wanted[each]) for each in counts if each < number)
    return dict(zip(sorted(table.slots_of(number), reverse=True)[:over], receivers[before:], strict=False))


def beaten(table: Table, number: int, member: Member) -> Table:
    """With this process's new beat; a predecessor of the same number, which is dead, is replaced."""
    return msgspec.structs.replace(table, members=table.members | {number: member})


def given(table: Table, gifts: Mapping[int, int]) -> Table:
    """With slots handed to others. The caller owns them and has stopped using them."""
    owners = tuple(gifts.get(slot, owner) for slot, owner in enumerate(table.owners))
    return msgspec.structs.replace(table, owners=owners)


def reasserted(table: Table, number: int, slots: Collection[int]) -> Table:
    """With slots back that a table which was lost had shown as this process's; those that have an owner are left."""
    owners = tuple(number if owner is None and slot in slots else owner for slot, owner in enumerate(table.owners))
    return msgspec.structs.replace(table, owners=owners)


def struck(table: Table, numbers: Collection[int]) -> Table:
    """Without these members; their slots, and the lead, are nobody's."""
    return msgspec.structs.replace(
        table,
        members={number: member for number, member in table.members.items() if number not in numbers},
        owners=tuple(None if owner in numbers else owner for owner in table.owners),
        lead=None if table.lead in numbers else table.lead,
    )


def shared_out(table: Table) -> Table:
    """With every slot that is nobody's given to the members who have fewest, and a lead if there was none."""
    if not table.members:
        return table
    counts, owners = table.counts(), list(table.owners)
    for slot, owner in enumerate(owners):
        if owner is None or owner not in table.members:
            poorest = min(counts, key=lambda number: (counts[number], number))
            owners[slot] = poorest
            counts[poorest] += 1
    lead = table.lead if table.lead in table.members else min(table.members)
    return msgspec.structs.replace(table, owners=tuple(owners), lead=lead)


def has_orphans(table: Table) -> bool:
    """Whether some slot, or the lead, is nobody's."""
    return table.lead not in table.members or any(owner not in table.members for owner in table.owners)


class Sightings:
    """When each member's present beat was first seen, by the clock of whoever looks."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Member, float]] = {}

    def see(self, table: Table, now_s: float) -> None:
        """Take note of a table that was read at ``now_s`` [monotonic] or before."""
        self._seen = {
            number: seen if (seen := self._seen.get(number)) is not None and seen[0] == member else (member, now_s)
            for number, member in table.members.items()
        }

    def lapsed(self, now_s: float) -> frozenset[int]:
        """The members whose beat has not changed for TAKE_S."""
        return frozenset(number for number, (_, since_s) in self._seen.items() if now_s - since_s >= TAKE_S)


class Fence:
    """Until when this process may ask its machines, by its own monotonic clock [s]."""

    def __init__(self) -> None:
        self._until_s = float("-inf")
        self.is_kept = False
        """Nobody can take anything at present, so the lease does not end by time."""

    def confirmed(self, sent_s: float) -> None:
        """A beat that was sent at ``sent_s`` is in the table."""
        self._until_s = max(self._until_s, sent_s + HOLD_S)

    def drop(self) -> None:
        """Nothing is held any more."""
        self._until_s, self.is_kept = float("-inf"), False

    def holds(self, now_s: float) -> bool:
        """Whether a question may be sent now."""
        return self.is_kept or now_s < self._until_s

    def left_s(self, now_s: float) -> float:
        """Seconds until the lease ends by time; 0 when it has."""
        return max(0.0, self._until_s - now_s)
