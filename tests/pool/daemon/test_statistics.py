"""What the pool counts, and that counting is right to the share."""

import pytest

from mbongi.pool.daemon.share_log import BLOCK_FLAG, pack_share
from mbongi.pool.daemon.statistics import AGENTS_MAX, Member, Statistics
from mbongi.pool.rules.firmware import UNNAMED, firmware_name
from mbongi.pool.values import Protocol, Reject


def record(worker: int, difficulty: float, reached: float, flags: int = 0) -> bytes:
    """A share as it stands in the log."""
    return pack_share(1, worker, 1, difficulty, reached, 7, 1, 2, 3, bytes(12), 1, flags, 0, bytes(32))


def member(number: int, agent: str = "cgminer/4.11.1", difficulty: float = 8.0) -> Member:
    return Member(number, agent, Protocol.STRATUM_V1, difficulty)


def test_a_minute_holds_what_each_worker_did_in_it() -> None:
    statistics = Statistics()
    statistics.look([member(0), member(1, "bmminer"), member(2)], 0.0)
    statistics.kept([record(0, 8.0, 9.0), record(1, 2.0, 500.0, BLOCK_FLAG)])
    statistics.kept([record(0, 16.0, 20.0)])
    statistics.reject(Reject.STALE, 0)
    statistics.reject(Reject.UNAUTHORIZED)
    statistics.gather(100.0)

    rows = {row.number: row for row in statistics.end_minute(60.0, 60.0, 100.0)}

    assert set(rows) == {0, 1, 2}
    first = rows[0].counts
    assert (first.shares, first.work, first.work_squared, first.hardest, first.best) == (2, 24.0, 320.0, 16.0, 20.0)
    assert rows[0].rejected == {Reject.STALE: 1}
    assert rows[0].expected_blocks == pytest.approx(0.24)
    assert (rows[1].counts.blocks, rows[1].agent) == (1, "bmminer")
    assert (rows[2].counts.shares, rows[2].counts.hardest) == (0, 8.0)
    assert statistics.accepted == 3
    assert statistics.work == 26.0
    assert statistics.best == (500.0, 1)
    assert statistics.rejected == {Reject.STALE: 1, Reject.UNAUTHORIZED: 1}
    assert statistics.expected_blocks == pytest.approx(0.26)


def test_shares_that_come_between_two_minutes_count_once() -> None:
    statistics = Statistics()
    statistics.kept([record(0, 1.0, 1.0)])
    statistics.gather(1.0)
    assert [row.counts.shares for row in statistics.end_minute(60.0, 60.0, 1.0)] == [1]
    statistics.kept([record(0, 1.0, 1.0)])
    statistics.gather(1.0)
    statistics.reject(Reject.LOW_DIFFICULTY, 0)
    assert [row.counts.shares for row in statistics.end_minute(120.0, 60.0, 1.0)] == [1]
    assert statistics.by_firmware == {UNNAMED: {"accepted": 2, "low_difficulty": 1}}
    assert statistics.end_minute(180.0, 60.0, 1.0) == []


def test_windows_cover_what_the_process_has_seen_and_no_more() -> None:
    statistics = Statistics()
    for minute in range(1, 91):
        statistics.kept([record(0, 2.0, 2.0)])
        statistics.gather(1.0)
        statistics.end_minute(60.0 * minute, 60.0, 1.0)
    windows = statistics.windows(60.0 * 90)
    assert (windows["minute"].span_s, windows["minute"].shares) == (60.0, 1)
    assert (windows["hour"].span_s, windows["hour"].shares) == (3600.0, 60)
    assert (windows["day"].span_s, windows["day"].work) == (5400.0, 180.0)


def test_a_worker_is_seen_over_the_last_minutes_once_it_has_been_there_for_one() -> None:
    statistics = Statistics()
    for minute in range(1, 13):
        statistics.look([member(0), member(1)] if minute < 12 else [member(0), member(2)], 60.0 * (minute - 1))
        statistics.kept([record(0, 8.0, 8.0)])
        statistics.gather(1.0)
        statistics.end_minute(60.0 * minute, 60.0, 1.0)
    sights = dict(statistics.sights(60.0 * 12 - 1))
    assert set(sights) == {0}
    assert sights[0].shares == 7
    assert sights[0].span_s == 420.0


def test_silence_keeps_the_difficulty_in_force_so_that_its_rate_is_bounded() -> None:
    statistics = Statistics()
    statistics.look([member(0, difficulty=64.0)], 0.0)
    statistics.end_minute(60.0, 60.0, 1.0)
    [(_number, tally)] = statistics.sights(61.0)
    assert (tally.shares, tally.hardest, tally.span_s) == (0, 64.0, 60.0)


def test_agents_are_named_and_bounded() -> None:
    assert firmware_name("  cgminer/4.11.1\r\n\x00x ") == "cgminer/4.11.1 x"
    assert firmware_name("\x01") == firmware_name("") == UNNAMED
    statistics = Statistics()
    statistics.look([member(number, f"agent {number}") for number in range(AGENTS_MAX + 9)], 0.0)
    agents = {row.agent for row in statistics.end_minute(60.0, 60.0, 1.0)}
    assert len(agents) == AGENTS_MAX + 1
    assert "other" in agents
