"""Disk and clock: good, not good, or unknown, each since when."""

from pathlib import Path

from mbongi.run.watches import CLOCK_CALM_S, ClockWatch, DiskWatch


class Dial:
    """A value that a test turns."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, *_path: Path) -> int:
        if self.value < 0:
            raise OSError(5, "Input/output error")
        return int(self.value)


def test_room_on_the_disk_is_good_and_says_nothing() -> None:
    watch = DiskWatch(Path("var"), free_bytes=Dial(5e9)).look()

    assert (watch.good, watch.message) == (True, "")


def test_a_disk_running_low_and_one_that_is_full_say_what_to_do() -> None:
    room = Dial(500e6)
    disk = DiskWatch(Path("var"), free_bytes=room)

    assert disk.look().good is False
    assert "500 MB of disk left: make room" in disk.look().message
    room.value = 10e6
    assert "disk full, 10 MB left" in disk.look().message


def test_a_disk_that_does_not_answer_is_unknown() -> None:
    watch = DiskWatch(Path("var"), free_bytes=Dial(-1)).look()

    assert watch.good is None
    assert "does not answer: Input/output error" in watch.message


def test_the_age_of_a_disks_state_moves_only_when_the_state_does() -> None:
    room = Dial(5e9)
    disk = DiskWatch(Path("var"), free_bytes=room)
    since = disk.look().since
    assert disk.look().since == since

    room.value = 0
    assert disk.look().since > since


def test_a_clock_that_runs_with_the_machines_uptime_is_good() -> None:
    wall, uptime = Dial(1_000_000), Dial(100)
    clock = ClockWatch(wall_s=wall, uptime_s=uptime)
    clock.look()
    wall.value, uptime.value = 1_000_060, 160

    assert clock.look().good is True


def test_a_jump_either_way_is_stated_with_its_size_until_the_clock_has_been_calm() -> None:
    wall, uptime = Dial(1_000_000), Dial(100)
    clock = ClockWatch(wall_s=wall, uptime_s=uptime)
    clock.look()

    wall.value, uptime.value = 1_000_000 + 5 + 3600, 105
    jumped = clock.look()
    assert jumped.good is False
    assert "forwards by 1:00:00" in jumped.message
    assert jumped.since.timestamp() == 1_003_605

    wall.value, uptime.value = 1_000_010, 110
    assert "backwards by 1:00:00" in clock.look().message

    wall.value, uptime.value = 1_000_010 + CLOCK_CALM_S, 110 + CLOCK_CALM_S
    assert clock.look().good is True
