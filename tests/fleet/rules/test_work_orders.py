"""What entries make of a work order, in whatever order they come."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.fleet.rules.work_orders import Clash, EntryKind, Outcome, Standing, WorkState, moment, step

ADA, BEN = 1, 2
OPEN, BEN_HAS = Standing(WorkState.OPEN), Standing(WorkState.TAKEN, BEN)
FIXED, VERIFIED = Standing(WorkState.FIXED, BEN), Standing(WorkState.VERIFIED, BEN)
CANCELLED = Standing(WorkState.CANCELLED)


@pytest.mark.parametrize(
    ("now", "kind", "then"),
    [
        (OPEN, EntryKind.TAKE, Standing(WorkState.TAKEN, ADA)),
        (OPEN, EntryKind.FIX, Standing(WorkState.FIXED, ADA)),
        (Standing(WorkState.TAKEN, ADA), EntryKind.TAKE, Standing(WorkState.TAKEN, ADA)),
        (Standing(WorkState.TAKEN, ADA), EntryKind.FIX, Standing(WorkState.FIXED, ADA)),
        (Standing(WorkState.TAKEN, ADA), EntryKind.RELEASE, OPEN),
        (FIXED, EntryKind.VERIFY, VERIFIED),
        (FIXED, EntryKind.REOPEN, OPEN),
        (OPEN, EntryKind.CANCEL, CANCELLED),
        (BEN_HAS, EntryKind.CANCEL, Standing(WorkState.CANCELLED, BEN)),
        (VERIFIED, EntryKind.NOTE, VERIFIED),
        (VERIFIED, EntryKind.PART, VERIFIED),
    ],
)
def test_an_entry_that_fits_moves_the_order(now: Standing, kind: EntryKind, then: Standing) -> None:
    done = step(now, kind, ADA)
    assert (done.standing, done.clash, done.outcome) == (then, None, Outcome.APPLIED)


@pytest.mark.parametrize(
    ("now", "kind", "clash"),
    [
        (BEN_HAS, EntryKind.TAKE, Clash.TAKEN_BY_OTHER),
        (BEN_HAS, EntryKind.FIX, Clash.TAKEN_BY_OTHER),
        (BEN_HAS, EntryKind.RELEASE, Clash.TAKEN_BY_OTHER),
        (OPEN, EntryKind.RELEASE, Clash.NOT_TAKEN),
        (FIXED, EntryKind.TAKE, Clash.ALREADY_FIXED),
        (FIXED, EntryKind.FIX, Clash.ALREADY_FIXED),
        (FIXED, EntryKind.CANCEL, Clash.ALREADY_FIXED),
        (VERIFIED, EntryKind.FIX, Clash.OVER),
        (CANCELLED, EntryKind.TAKE, Clash.OVER),
        (VERIFIED, EntryKind.REOPEN, Clash.OVER),
        (OPEN, EntryKind.REOPEN, Clash.NOT_FIXED),
        (BEN_HAS, EntryKind.VERIFY, Clash.NOT_FIXED),
    ],
)
def test_an_entry_that_came_too_late_is_a_conflict_and_moves_nothing(
    now: Standing, kind: EntryKind, clash: Clash
) -> None:
    assert step(now, kind, ADA) == (now, clash)


@given(st.lists(st.tuples(st.sampled_from(EntryKind), st.sampled_from([ADA, BEN])), max_size=12))
def test_an_order_is_closed_once_and_has_a_technician_while_it_is_in_hand(
    entries: list[tuple[EntryKind, int]],
) -> None:
    now, closed = OPEN, 0
    for kind, author in entries:
        done = step(now, kind, author)
        assert done.clash is None or done.standing == now
        closed += done.standing.state.is_over and not now.state.is_over
        assert not now.state.is_over or done.standing == now
        now = done.standing
        assert (now.technician is not None) == (
            now.state in {WorkState.TAKEN, WorkState.FIXED, WorkState.VERIFIED}
        ) or (now.state is WorkState.CANCELLED)
    assert closed <= 1


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("wrong", [timedelta(0), timedelta(hours=5), timedelta(hours=-5), timedelta(days=400)])
def test_a_wrong_clock_of_a_phone_does_not_move_what_was_done(wrong: timedelta) -> None:
    done, sent = NOON, NOON + timedelta(hours=2)
    assert moment(done + wrong, sent + wrong, sent) == done


def test_nothing_was_done_in_the_future() -> None:
    assert moment(NOON + timedelta(hours=1), NOON, NOON) == NOON
