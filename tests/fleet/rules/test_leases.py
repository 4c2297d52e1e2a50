"""Slots of machines, who has which, and until when: the arithmetic of the leases, without a clock of its own."""

from hypothesis import given as drawn
from hypothesis import strategies as st

from mbongi.fleet.rules import leases
from mbongi.fleet.rules.leases import ALL_SLOTS, HOLD_S, RENEW_S, SLOTS, TAKE_S, Fence, Member, Sightings, Table

NUMBERS = st.integers(0, 15)


def table(counts: dict[int, int], *, lead: int | None = None) -> Table:
    """Members who have so many slots each; the rest is nobody's."""
    owners: list[int | None] = [number for number, count in counts.items() for _ in range(count)]
    owners += [None] * (SLOTS - len(owners))
    return Table({number: Member("a", 1) for number in counts}, tuple(owners), lead)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    numbers = draw(st.lists(NUMBERS, min_size=1, max_size=8, unique=True))
    owners = draw(st.lists(st.sampled_from([*numbers, None]), min_size=SLOTS, max_size=SLOTS))
    return Table({number: Member("a", 1) for number in numbers}, tuple(owners), draw(st.sampled_from([*numbers, None])))


def test_machines_are_spread_over_the_slots_by_their_ids() -> None:
    assert [leases.slot_of(machine_id) for machine_id in (1, 63, 64, 65, 10_000)] == [1, 63, 0, 1, 16]
    assert len({leases.slot_of(machine_id) for machine_id in range(1000, 1064)}) == SLOTS


def test_the_first_process_gets_everything_and_leads() -> None:
    found = leases.shared_out(leases.beaten(Table(), 3, Member("a", 1)))

    assert (found.slots_of(3), found.lead) == (ALL_SLOTS, 3)
    assert not leases.has_orphans(found)


def test_a_newcomer_is_given_an_equal_share_by_those_who_have_more() -> None:
    before = table({0: 32, 1: 32, 2: 0})

    gifts = [leases.surplus(before, number) for number in (0, 1, 2)]

    assert [len(each) for each in gifts] == [10, 11, 0]
    assert all(receiver == 2 for each in gifts for receiver in each.values())
    after = leases.given(leases.given(before, gifts[0]), gifts[1])
    assert after.counts() == {0: 22, 1: 21, 2: 21}


@drawn(tables())
def test_what_all_give_together_makes_all_but_equal_shares_and_then_nobody_gives(before: Table) -> None:
    whole = leases.shared_out(before)
    gifts: dict[int, int] = {}
    for number in whole.members:
        own = leases.surplus(whole, number)
        assert own.keys() <= whole.slots_of(number)
        gifts |= own

    counts = leases.given(whole, gifts).counts()

    assert sum(counts.values()) == SLOTS
    assert max(counts.values()) - min(counts.values()) <= 1
    assert not any(leases.surplus(leases.given(whole, gifts), number) for number in whole.members)


@drawn(tables(), NUMBERS)
def test_who_is_struck_has_nothing_and_the_others_lose_nothing(before: Table, number: int) -> None:
    after = leases.struck(before, {number})

    assert number not in after.members
    assert not after.slots_of(number)
    assert after.lead != number
    for other in after.members:
        assert after.slots_of(other) == before.slots_of(other)


@drawn(tables())
def test_sharing_out_takes_nothing_from_a_member(before: Table) -> None:
    after = leases.shared_out(before)

    assert not leases.has_orphans(after)
    assert all(before.slots_of(number) <= after.slots_of(number) for number in before.members)


def test_slots_of_a_lost_table_come_back_unless_they_have_an_owner() -> None:
    found = leases.reasserted(table({1: 2}), 0, {1, 2, 3})

    assert found.slots_of(0) == {2, 3}
    assert found.slots_of(1) == {0, 1}


def test_a_member_lapses_when_its_beat_was_seen_unchanged_for_long_enough() -> None:
    sightings, members = Sightings(), {0: Member("a", 1), 1: Member("a", 1)}
    sightings.see(Table(members), 100.0)
    sightings.see(Table(members | {1: Member("a", 2)}), 104.0)

    assert sightings.lapsed(100.0 + TAKE_S - 0.01) == set()
    assert sightings.lapsed(100.0 + TAKE_S) == {0}
    sightings.see(Table({1: Member("b", 2)}), 105.0)
    assert sightings.lapsed(104.0 + TAKE_S) == set()
    assert sightings.lapsed(105.0 + TAKE_S) == {1}


def test_a_lease_counts_from_the_sending_of_the_last_confirmed_beat() -> None:
    fence = Fence()
    assert not fence.holds(0.0)

    fence.confirmed(10.0)
    fence.confirmed(9.0)

    assert fence.holds(10.0 + HOLD_S - 0.01)
    assert not fence.holds(10.0 + HOLD_S)
    assert (fence.left_s(12.0), fence.left_s(99.0)) == (HOLD_S - 2.0, 0.0)
    fence.is_kept = True
    assert fence.holds(1e9)
    fence.drop()
    assert not fence.holds(10.0)


@drawn(
    sent_s=st.floats(0, 1e6),
    on_the_way_s=st.floats(0, 60),
    looks_s=st.lists(st.floats(0.001, 5), min_size=1, max_size=60),
    holder_rate=st.floats(0.9, 1.1),
    taker_rate=st.floats(0.9, 1.1),
)
def test_nobody_lapses_before_his_own_fence_is_down_whatever_the_delays(
    sent_s: float, on_the_way_s: float, looks_s: list[float], holder_rate: float, taker_rate: float
) -> None:
    # The holder's last beat leaves at sent_s of true time, and is there later; clocks run up to a tenth wrong.
    fence, sightings = Fence(), Sightings()
    fence.confirmed(sent_s * holder_rate)
    at_s = sent_s + on_the_way_s
    for look_s in looks_s:
        at_s += look_s
        sightings.see(Table({0: Member("a", 7)}), at_s * taker_rate)
        if sightings.lapsed(at_s * taker_rate):
            assert not fence.holds(at_s * holder_rate)


def test_a_dead_process_is_replaced_soon_enough() -> None:
    # Its last beat is seen, it lapses, whoever strikes it takes its turn, and so does the new owner: goal 15 s.
    assert RENEW_S + TAKE_S + RENEW_S + RENEW_S + 2.0 < 15.0
    assert TAKE_S - HOLD_S >= 2.0
