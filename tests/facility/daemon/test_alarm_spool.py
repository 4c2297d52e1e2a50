"""The spool: kept in order, numbers for ever, torn ends cut off, damaged files put aside."""

import pytest

from mbongi.facility.daemon.alarm_spool import Spool
from mbongi.facility.rules.alarm_detector import Signal
from mbongi.facility.rules.alarm_state import Seen


def signal(number):
    return Signal(1, f"tr-{number}", Seen.ALARM, 1.5, number)


@pytest.fixture
def opened(tmp_path):
    """Opens the spool of the test's folder, as often as it is asked; closed at its end."""
    spools = []

    def make(**limits):
        spools.append(Spool(tmp_path, **limits))
        return spools[-1]

    yield make
    for spool in spools:
        spool.close()


def tags(spool):
    return [each.tag for record in spool.waiting for each in record.signals]


def test_what_was_appended_is_there_after_a_restart_in_its_order(tmp_path, opened):
    first = opened()
    for number in range(5):
        assert first.append([signal(number)]) == number + 1
    first.forget(2)
    again = opened()
    # Files go once all of theirs is forgotten; what is read again is known by its number.
    assert [record.seq for record in again.waiting] == [1, 2, 3, 4, 5]
    again.forget(2)
    assert tags(again) == ["tr-2", "tr-3", "tr-4"]
    assert again.waiting[0].signals[0].seen is Seen.ALARM
    assert again.name == first.name


def test_numbers_go_on_though_all_was_forgotten(tmp_path, opened):
    spool = opened(file_bytes=1)
    for number in range(4):
        spool.append([signal(number)])
    spool.forget(4)
    assert len(list(tmp_path.glob("*.spool"))) == 1
    assert opened().append([signal(9)]) == 5


def test_numbers_go_on_from_the_record_though_the_files_were_lost(tmp_path, opened):
    spool = opened()
    spool.forget(70)
    assert spool.append([signal(1)]) == 71


def test_a_torn_end_is_cut_off(tmp_path, opened):
    spool = opened()
    spool.append([signal(1)])
    spool.append([signal(2)])
    [path] = tmp_path.glob("*.spool")
    path.write_bytes(path.read_bytes()[:-3])
    again = opened()
    assert tags(again) == ["tr-1"]
    assert again.append([signal(3)]) == 2
    assert tags(opened()) == ["tr-1", "tr-3"]


def test_a_damaged_file_is_put_aside_and_what_is_whole_of_it_counts(tmp_path, opened):
    spool = opened(file_bytes=1)
    for number in range(3):
        spool.append([signal(number)])
    first = sorted(tmp_path.glob("*.spool"))[0]
    first.write_bytes(b"\x00" * 20)
    again = opened()
    assert tags(again) == ["tr-1", "tr-2"]
    assert [path.suffix for path in again.damaged] == [".damaged"]


def test_where_the_disk_gives_no_other_file_the_old_one_goes_on(monkeypatch, opened):
    spool = opened(file_bytes=1)

    def full():
        raise OSError("no space left")

    with monkeypatch.context() as away:
        away.setattr(spool, "_open", full)
        assert spool.append([signal(1)]) == 1
        assert spool.append([signal(2)]) == 2
    assert spool.append([signal(3)]) == 3
    assert tags(opened()) == ["tr-1", "tr-2", "tr-3"]
