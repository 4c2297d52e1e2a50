"""Shares added up as arrays, held against the log's own record and against adding them up one by one."""

import random
from collections import Counter
from hashlib import sha256

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mbongi.pool.daemon import share_log
from mbongi.pool.daemon.share_log import LoggedShare, pack_share
from mbongi.pool.rules import tally
from mbongi.pool.rules.payout.amounts import work_of_difficulty
from mbongi.pool.rules.tally import MINUTE_MS, SHARE, SLICE_MS, SeenShares, Shares, tally_of

DIFFICULTIES = (2.0**-24, 0.75, 1.0, 1 / 3, 16_384.0, 6e12)


def packed(time_ms: int, worker: int, difficulty: float, protocol: int, *, block: bool, number: int) -> bytes:
    flags, mark = tally.BLOCK_FLAG if block else 0, sha256(number.to_bytes(8, "big")).digest()
    return pack_share(time_ms, worker, 9, difficulty, 2 * difficulty, 7, 1, 2, 3, bytes(13), protocol, flags, 0, mark)


def shares_of(records: list[bytes]) -> Shares:
    raw = np.frombuffer(b"".join(records), SHARE)
    return Shares.of(raw, raw["worker"].astype(np.int64))


def test_the_array_reads_the_logs_record() -> None:
    values = (1, 2, 3, 4.5, 6.5, 7, 8, 9, 10, bytes(range(13)), 11, 12, 13, bytes(range(32)))
    record = pack_share(*values)
    [row] = np.frombuffer(record, SHARE)

    assert tuple(LoggedShare.__struct_fields__) == SHARE.names
    assert tuple(each.tobytes() if each.dtype.kind == "V" else each.item() for each in row) == values
    assert tally.BLOCK_FLAG == share_log.BLOCK_FLAG


share = st.tuples(
    st.integers(0, 3 * MINUTE_MS), st.integers(0, 4), st.sampled_from(DIFFICULTIES), st.integers(1, 2), st.booleans()
)


@given(st.lists(share, max_size=60))
@settings(max_examples=80, deadline=None)
def test_sums_by_slice_worker_and_minute_are_exact(rows: list[tuple[int, int, float, int, bool]]) -> None:
    records = [packed(t, w, d, p, block=b, number=n) for n, (t, w, d, p, b) in enumerate(rows)]

    found = tally_of(shares_of(records))

    by_slice: list[Counter[int]] = [Counter()]
    by_minute: Counter[tuple[int, int, int]] = Counter()
    for t, w, d, p, b in rows:
        by_slice[-1][w] += work_of_difficulty(d)
        by_minute[w, t // MINUTE_MS * MINUTE_MS, p] += work_of_difficulty(d)
        if b:
            by_slice.append(Counter())
    assert [{w: work for w, (work, _) in each.parts.items()} for each in found.stretches] == [
        dict(each) for each in by_slice if each
    ]
    assert {key: each.work for key, each in found.minutes.items()} == dict(by_minute)
    assert sum(each.work for each in found.totals.values()) == sum(by_minute.values())
    assert sum(each.shares for each in found.totals.values()) == len(rows)
    assert [each.block is not None for each in found.stretches].count(True) == sum(b for *_, b in rows)


def test_a_stretch_ends_with_a_blocks_share_and_with_its_half_hour() -> None:
    times = [0, 1, SLICE_MS - 1, SLICE_MS, SLICE_MS + 5, 3 * SLICE_MS]
    records = [packed(t, 1, 1.0, 1, block=t == 1, number=t) for t in times]

    found = tally_of(shares_of(records)).stretches

    assert [each.parts[1][1] for each in found] == [2, 1, 2, 1]
    assert [each.block.hash if each.block else "" for each in found] == [
        sha256((1).to_bytes(8, "big")).digest()[::-1].hex(),
        "",
        "",
        "",
    ]
    assert (found[2].from_ms, found[2].to_ms) == (SLICE_MS, SLICE_MS + 5)


def test_time_that_runs_backwards_in_a_log_does_not_change_the_order() -> None:
    records = [packed(t, n, 1.0, 1, block=False, number=n) for n, t in enumerate((100, 50, 120, (1 << 64) - 1))]

    shares = shares_of(records)

    assert shares.order_ms.tolist() == [100, 100, 120, tally.TIME_MS_MAX]
    assert len(tally_of(shares).minutes) == 4


def test_a_difficulty_that_no_share_has_is_worth_nothing() -> None:
    records = [packed(1, 1, d, 1, block=False, number=0) for d in (float("nan"), float("inf"), -1.0, 0.0, 1.0)]

    assert tally_of(shares_of(records)).totals[1].work == work_of_difficulty(1.0)


def test_seen_shares_are_known_among_the_last_and_in_one_batch() -> None:
    seen = SeenShares(limit=100)
    chance = random.Random(4)
    numbers = [chance.randrange(300) for _ in range(2000)]
    recent: list[int] = []
    for begin in range(0, 2000, 20):
        batch = numbers[begin : begin + 20]
        shares = shares_of([packed(1, 1, 1.0, 1, block=False, number=n) for n in batch])
        is_new = seen.is_new(shares).tolist()
        for place, number in enumerate(batch):
            if number in batch[:place] or number in recent[-100:]:
                assert not is_new[place]
            elif number not in recent[-300:]:
                assert is_new[place]
        fresh = shares[np.array(is_new)]
        seen.add(fresh)
        recent += [number for number, new in zip(batch, is_new, strict=True) if new]


def test_two_hashes_that_agree_in_their_first_eight_bytes_are_two_shares() -> None:
    one, two = (bytes(8) + bytes([n]) + bytes(23) for n in (1, 2))
    records = [pack_share(1, 1, 9, 1.0, 1.0, 7, 1, 2, 3, bytes(13), 1, 0, 0, each) for each in (one, two, one)]
    shares = shares_of(records)
    seen = SeenShares()

    assert seen.is_new(shares).tolist() == [True, True, False]
    seen.add(shares[:1])
    assert seen.is_new(shares).tolist() == [False, True, False]
