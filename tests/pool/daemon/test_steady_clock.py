"""The pool's clock under a system clock that jumps."""

from datetime import UTC, datetime

from mbongi.pool.daemon.steady_clock import SETTLED_S, SteadyClock


class Times:
    """A system clock and a monotonic one, set by hand."""

    def __init__(self) -> None:
        self.monotonic_s, self.wall_s = 1_000.0, 1_700_000_000.0

    def pass_s(self, seconds: float, clock: SteadyClock) -> None:
        """Time passes, and the clock looks every five seconds."""
        for _ in range(int(seconds // 5)):
            self.monotonic_s += 5.0
            self.wall_s += 5.0
            clock.follow()

    def clock(self) -> SteadyClock:
        return SteadyClock(wall=lambda: datetime.fromtimestamp(self.wall_s, UTC), monotonic=lambda: self.monotonic_s)


def test_intervals_know_nothing_of_a_jump() -> None:
    times = Times()
    clock = times.clock()
    before_s = clock.now_s()

    times.wall_s -= 86_400.0
    times.pass_s(600, clock)

    assert clock.now_s() - before_s == 600.0


def test_a_passing_jump_never_reaches_the_record() -> None:
    times = Times()
    clock = times.clock()
    times.wall_s += 3_600.0
    times.pass_s(SETTLED_S - 10, clock)
    during_s = clock.unix_s() - (times.wall_s - 3_600.0)
    times.wall_s -= 3_600.0
    times.pass_s(600, clock)

    assert abs(during_s) < 0.01
    assert abs(clock.unix_s() - times.wall_s) < 0.01


def test_a_clock_that_was_set_right_is_followed_after_a_while() -> None:
    times = Times()
    times.wall_s = 0.0  # a machine whose clock ran out of battery
    clock = times.clock()
    times.wall_s = 1_700_000_000.0
    times.pass_s(SETTLED_S + 10, clock)

    assert abs(clock.unix_s() - times.wall_s) < 0.01


def test_a_clock_that_is_drawn_to_the_right_time_is_followed_at_once() -> None:
    times = Times()
    clock = times.clock()
    for _ in range(20):
        times.wall_s += 0.5
        times.pass_s(5, clock)

    assert abs(clock.unix_s() - times.wall_s) < 0.01
