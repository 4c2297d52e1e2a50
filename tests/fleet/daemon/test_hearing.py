"""The UDP listener: what it hears, ignores and counts, and what it has looked at."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from mbongi.base.config import Fleet
from mbongi.fleet import reports
from mbongi.fleet.daemon.hearing import WAITING_MAX, Hearing
from tests.embedded import free_ports

CLAIM = b"127.26.0.%d,02:4d:42:00:00:01"


class Record:
    """Stands for the database: every address is unknown."""

    def __init__(self) -> None:
        self.heard: list[reports.Heard] = []
        self.looked: list[str] = []

    async def insist(self, function: Any, argument: Sequence[Any]) -> list[str]:
        if function is reports.hear:
            self.heard += argument
            return [each.address for each in argument]
        self.looked += argument
        return []


def hearing(record: Record, *ports: int) -> Hearing:
    async def look(_addresses: Sequence[str]) -> None:
        return None

    first, second = ports or (1, 2)
    config = Fleet(ranges=("127.26.0.0/24",), report_port=first, report_whatsminer_port=second)
    return Hearing(config, record, look)  # type: ignore[arg-type]


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 -- the listener is watched from outside
            await asyncio.sleep(0.01)


def send(source: str, port: int, data: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.sendto(data, ("127.0.0.1", port))


async def test_reports_of_the_ranges_are_heard_on_both_ports_and_looked_at() -> None:
    record, (first, second) = Record(), free_ports(2)
    one = hearing(record, first, second)
    run = asyncio.create_task(one.run())
    try:
        await until(lambda: one.ports == {first, second})
        send("127.26.0.7", first, CLAIM % 7)
        send("127.26.0.7", first, CLAIM % 7)
        send("127.26.0.8", second, b"IP:127.26.0.9MAC:02:4d:42:00:00:02\n")
        send("127.27.0.1", first, CLAIM % 7)
        send("127.26.0.9", first, b"nonsense")
        counts = one.statistics
        await until(lambda: counts.heard + counts.repeated + counts.outside + counts.malformed == 5)
        await until(lambda: len(record.looked) == 2)
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    assert (counts.heard, counts.repeated, counts.outside, counts.malformed) == (2, 1, 1, 1)
    claims = {each.address: (each.claimed_address, each.claimed_mac) for each in record.heard}
    assert claims == {
        "127.26.0.7": ("127.26.0.7", "02:4D:42:00:00:01"),
        "127.26.0.8": ("127.26.0.9", "02:4D:42:00:00:02"),
    }
    assert one.ports == set()


async def test_a_port_that_is_taken_leaves_the_other_one() -> None:
    first, second = free_ports(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", first))
        one = hearing(Record(), first, second)
        run = asyncio.create_task(one.run())
        await until(lambda: one.ports == {second})
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


def test_a_flood_waits_up_to_a_limit_and_is_counted_beyond() -> None:
    one = hearing(Record())
    one._ranges = one._ranges.__class__(["10.0.0.0/8"])
    for number in range(WAITING_MAX + 50):
        one.datagram_received(CLAIM % 7, (f"10.1.{number // 250}.{number % 250}", 5000))
    assert (one.statistics.heard, one.statistics.dropped) == (WAITING_MAX, 50)


@pytest.mark.parametrize("host", [""])
async def test_an_empty_host_hears_nothing(host: str) -> None:
    one = Hearing(Fleet(report_host=host), Record(), lambda _: asyncio.sleep(0))  # type: ignore[arg-type]
    run = asyncio.create_task(one.run())
    await asyncio.sleep(0)
    assert one.ports == set()
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
