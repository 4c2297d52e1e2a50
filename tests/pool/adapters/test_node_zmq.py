"""A node's feed of new tips, spoken by libzmq's own publisher in the form of Bitcoin Core's doc/zmq.md."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
import zmq
import zmq.asyncio

from mbongi.pool.adapters.node_zmq import TipFeed

GENESIS = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"


def message(sequence: int, block_hash: str = GENESIS) -> list[bytes]:
    """Bitcoin Core sends the hash in the byte order that people read."""
    return [b"hashblock", bytes.fromhex(block_hash), sequence.to_bytes(4, "little")]


class Publisher:
    """A node's end."""

    def __init__(self, port: int = 0) -> None:
        self._context = zmq.asyncio.Context()
        self._socket = self._context.socket(zmq.PUB)
        self.port = self._socket.bind_to_random_port("tcp://127.0.0.1", port or 49152, port + 1 if port else 65536)

    async def send(self, parts: list[bytes]) -> None:
        await self._socket.send_multipart(parts)

    def close(self) -> None:
        self._context.destroy(linger=0)


@contextlib.asynccontextmanager
async def listening(port: int) -> AsyncIterator[tuple[TipFeed, list[str]]]:
    heard: list[str] = []
    feed = TipFeed(f"tcp://127.0.0.1:{port}", heard.append)
    task = asyncio.create_task(feed.run())
    try:
        yield feed, heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 -- another thread's state
            await asyncio.sleep(0.01)


async def test_a_new_tip_is_told_by_its_hash_and_the_connection_by_an_empty_text() -> None:
    node = Publisher()
    async with listening(node.port) as (feed, heard):
        assert feed.is_connected is None
        await until(lambda: heard == [""])
        assert feed.is_connected is True
        await _until_subscribed(node, heard)
        assert (set(heard), feed.missed, feed.garbled) == ({"", GENESIS}, 0, 0)
    node.close()


async def test_a_node_that_was_away_is_heard_again_and_asked_what_was_missed() -> None:
    node = Publisher()
    async with listening(node.port) as (feed, heard):
        await until(lambda: heard == [""])
        node.close()
        await until(lambda: feed.is_connected is False)
        heard.clear()

        again = Publisher(node.port)
        await until(lambda: heard == [""])
        await _until_subscribed(again, heard)
        assert heard[-1] == GENESIS
        again.close()


async def _until_subscribed(node: Publisher, heard: list[str]) -> None:
    """A subscription reaches the publisher a moment after the handshake; so the first words are repeated."""
    async with asyncio.timeout(20):
        number = 0
        while GENESIS not in heard:
            await node.send(message(number))
            number += 1
            await asyncio.sleep(0.02)


def test_lost_messages_are_counted_and_a_node_started_anew_is_no_loss() -> None:
    heard: list[str] = []
    feed = TipFeed("tcp://127.0.0.1:1", heard.append)
    for sequence in (7, 8, 11, 12, 0, 1):
        feed.take(message(sequence))
    assert feed.missed == 2
    assert heard == [GENESIS] * 6


def test_the_sequence_begins_again_after_its_highest_number_without_a_loss() -> None:
    feed = TipFeed("tcp://127.0.0.1:1", lambda _hash: None)
    for sequence in (2**32 - 1, 0, 1):
        feed.take(message(sequence))
    assert feed.missed == 0


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"hashblock"],
        [b"hashblock", b"short", bytes(4)],
        [b"hashblock", bytes(32), b""],
        [b"rawtx", bytes(32), bytes(4)],
    ],
)
def test_a_garbled_message_is_counted_and_the_node_is_asked(parts: list[bytes]) -> None:
    heard: list[str] = []
    feed = TipFeed("tcp://127.0.0.1:1", heard.append)
    feed.take(parts)
    assert (feed.garbled, feed.missed, heard) == (1, 0, [""])


async def test_an_endpoint_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="expected tcp://host:port"):
        await TipFeed("nonsense", lambda _hash: None).run()
