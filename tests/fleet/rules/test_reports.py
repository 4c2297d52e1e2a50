"""What machines say of themselves over UDP. Texts: as public listeners of other people read them."""

import pytest

from mbongi.fleet.rules.reports import BYTES_MAX, Claim, Repeats, read_report

CLAIM = Claim("10.10.1.0", "AB:CD:EF:AB:CD:EF")


@pytest.mark.parametrize(
    "data",
    [
        b"10.10.1.0,ab:cd:ef:ab:cd:ef",
        b"[10.10.1.0/255.255.255.0],ab:cd:ef:ab:cd:ef",
        b"10.10.1.0,ab:cd:ef:ab:cd:ef\n",
        b"IP:10.10.1.0MAC:ab:cd:ef:ab:cd:ef\n",
        b"IP:10.10.1.0MAC:ab:cd:ef:ab:cd:ef\0",
        b"IP:10.10.1.0MAC:ab:cd:ef:ab:cd:ef",
    ],
)
def test_the_texts_of_the_makers_are_read(data: bytes) -> None:
    assert read_report(data) == CLAIM


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"OK\0\0\0\0\0\0\0\0",
        b"10.10.1.0",
        b"999.10.1.0,ab:cd:ef:ab:cd:ef",
        b"10.10.1.0,00:00:00:00:00:00",
        b"10.10.1.0,ab:cd:ef:ab:cd",
        b"10.10.1.0,ab:cd:ef:ab:cd:ef and more",
        b"\xff" * 40,
        b"IP:10.10.1.0MAC:ab:cd:ef:ab:cd:ef\n" + b"x" * BYTES_MAX,
    ],
)
def test_anything_else_is_no_report(data: bytes) -> None:
    assert read_report(data) is None


def test_a_source_is_heard_once_in_a_while_and_the_oldest_is_forgotten() -> None:
    repeats = Repeats(quiet_s=3.0, sources_max=2)
    assert [repeats.is_repeat("a", at) for at in (0.0, 1.0, 2.9, 3.0)] == [False, True, True, False]
    assert not repeats.is_repeat("b", 3.1)
    assert not repeats.is_repeat("c", 3.2)
    assert not repeats.is_repeat("a", 3.3), "forgotten for c"
