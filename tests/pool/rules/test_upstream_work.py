"""The work of a channel as the pool tells it. Expected headers are put together here from the protocols' words."""

import itertools
import math
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.pool.errors import UpstreamError
from mbongi.pool.rules.upstream_work import (
    FUTURE_JOBS_MAX,
    JOBS_KEPT,
    SEEN_MAX,
    Bodies,
    ChannelWork,
    Tip,
    UpstreamJob,
    difficulty_not_easier,
    tip_of,
)
from mbongi.wire.bitcoin.target import DIFFICULTY_1_TARGET, target_of_difficulty

BODIES = Bodies()
BODY = BODIES.one(b"before", b"after", [b"\1" * 32, b"\2" * 32])
TIP = tip_of(b"\7" * 32, 0x1D00FFFF, 1_700_000_000)


def double(data: bytes) -> bytes:
    return sha256(sha256(data).digest()).digest()


def job(number: int, *, time_min_s: int | None = None) -> UpstreamJob:
    return UpstreamJob(number, BODY, 0x2000_0000, rolls_version=True, time_min_s=time_min_s)


def work(*, size: int = 8, target: int = 1 << 240) -> ChannelWork:
    return ChannelWork(prefix=b"pool", size=size, target=target, numbers=itertools.count(10).__next__)


def test_a_future_job_waits_for_its_tip_and_all_others_end_with_it() -> None:
    channel = work()
    assert channel.new_job(job(1)) is None
    assert channel.new_job(job(2)) is None
    assert channel.current is None

    started = channel.new_tip(2, TIP)

    assert (started.upstream_id, started.time_min_s, channel.current) == (2, 1_700_000_000, started)
    with pytest.raises(UpstreamError, match="names job 1; expected one of"):
        channel.new_tip(1, TIP)


def test_a_job_with_a_time_starts_at_once_and_earlier_ones_stay_good() -> None:
    channel = work()
    channel.new_job(job(1))
    first = channel.new_tip(1, TIP)

    second = channel.new_job(job(2, time_min_s=1_700_000_030))

    assert second is not None
    assert second.time_min_s == 1_700_000_030
    assert channel.job(first.number) is first
    assert channel.job(second.number) is second


def test_a_new_tip_makes_earlier_jobs_stale_and_others_unknown() -> None:
    channel = work()
    channel.new_job(job(1))
    first = channel.new_tip(1, TIP)
    channel.is_new(b"12345678")
    channel.new_job(job(2))
    second = channel.new_tip(2, Tip(b"\6" * 32, 0x1D00FFFF, 1, 1))

    assert channel.job(first.number) is None
    assert channel.is_stale(first.number)
    assert not channel.is_stale(second.number + 5)
    assert not channel.is_stale(-1)
    assert channel.is_new(b"12345678")


def test_a_job_that_starts_before_any_tip_contradicts_the_protocol() -> None:
    with pytest.raises(UpstreamError, match="before any SetNewPrevHash"):
        work().new_job(job(1, time_min_s=5))


def test_a_target_holds_for_jobs_that_start_after_it_also_for_those_that_waited() -> None:
    channel = work(target=1 << 240)
    channel.new_job(job(1))
    channel.set_target(1 << 230)
    first = channel.new_tip(1, TIP)
    channel.set_target(1 << 220)
    second = channel.new_job(job(2, time_min_s=TIP.time_min_s))

    assert second is not None
    assert (first.target, second.target) == (1 << 230, 1 << 220)


def test_a_prefix_holds_for_jobs_that_start_after_it() -> None:
    channel = work(size=6)
    channel.new_job(job(1))
    first = channel.new_tip(1, TIP)
    channel.set_prefix(b"other")
    second = channel.new_job(job(2, time_min_s=TIP.time_min_s))

    assert second is not None
    assert (first.prefix, second.prefix) == (b"pool", b"other")


@pytest.mark.parametrize(("size", "padding"), [(6, b""), (8, b"\0\0"), (16, bytes(10))])
def test_a_header_is_what_the_pool_will_make_of_the_share(size: int, padding: bytes) -> None:
    channel = work(size=size)
    channel.new_job(job(1))
    started = channel.new_tip(1, TIP)

    found = started.hash(b"abcdef", version=0x2000_2000, time_s=1_700_000_001, nonce=77)

    extranonce = started.padding + b"abcdef"  # what the share carries
    root = double(b"before" + b"pool" + extranonce + b"after")
    for each in (b"\1" * 32, b"\2" * 32):
        root = double(root + each)
    header = b"".join((
        (0x2000_2000).to_bytes(4, "little"),
        b"\7" * 32,
        root,
        (1_700_000_001).to_bytes(4, "little"),
        bytes.fromhex("ffff001d"),
        (77).to_bytes(4, "little"),
    ))  # fmt: skip
    assert len(extranonce) == size
    assert started.padding == padding
    assert found == double(header)
    assert TIP.target == DIFFICULTY_1_TARGET


def test_a_channel_too_small_for_us_or_without_sense_is_refused() -> None:
    with pytest.raises(UpstreamError, match="5 bytes of extranonce; expected at least 6"):
        work(size=5)
    for target in (0, 1 << 256):
        with pytest.raises(UpstreamError, match="a target of"):
            work(target=target)
    with pytest.raises(UpstreamError, match="a branch of 33"):
        work().new_job(UpstreamJob(1, BODIES.one(b"", b"", [b"\1" * 32] * 33), 0, rolls_version=True, time_min_s=None))
    with pytest.raises(UpstreamError, match="SetNewPrevHash: bits"):
        tip_of(bytes(32), 0x0180_0001, 0)


def test_what_is_remembered_has_limits() -> None:
    channel = work()
    for number in range(FUTURE_JOBS_MAX + 1):
        channel.new_job(job(number))
    with pytest.raises(UpstreamError, match="names job 0"):
        channel.new_tip(0, TIP)
    first = channel.new_tip(FUTURE_JOBS_MAX, TIP)
    for number in range(JOBS_KEPT):
        channel.new_job(job(100 + number, time_min_s=TIP.time_min_s))
    assert channel.job(first.number) is None
    channel.seen = {bytes([1]) + number.to_bytes(7, "big") for number in range(SEEN_MAX)}
    assert channel.is_new(b"another!")
    assert len(channel.seen) == 1


def test_equal_bodies_are_kept_once_and_few_of_them() -> None:
    bodies = Bodies()
    first = bodies.one(b"a", b"b", [bytes(32)])
    assert bodies.one(b"a", b"b", (bytes(32),)) is first
    for number in range(Bodies.KEPT):
        bodies.one(b"a", bytes([number]), [])
    assert bodies.one(b"a", b"b", [bytes(32)]) is not first


@given(st.integers(1, (1 << 256) - 1))
def test_a_difficulty_told_is_never_easier_than_the_target_and_no_step_harder_than_need_be(target: int) -> None:
    difficulty = difficulty_not_easier(target)
    assert target_of_difficulty(difficulty) <= target
    below = math.nextafter(difficulty, 0.0)
    assert below == 0.0 or target_of_difficulty(below) >= target
