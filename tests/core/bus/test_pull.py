"""The pull consumer without a bus: what its waiting does."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mbongi.core.bus.pull import Pull


def a_pull() -> Pull:
    client = SimpleNamespace(new_inbox=lambda: "_INBOX.x", is_connected=False)
    return Pull(cast("Any", client), "EVENTS", "reader", 10)


async def status(pull: Pull) -> None:
    """What the server sends to whoever waits when it shuts down."""
    message = SimpleNamespace(reply="", headers={"Status": "409", "Description": "Server Shutdown"})
    await pull._on_message(cast("Any", message))


@pytest.mark.parametrize("turns", range(5))
async def test_a_wait_that_is_cancelled_as_something_arrives_ends(turns: int) -> None:
    pull = a_pull()

    async def listen() -> None:
        while True:
            await pull.take(10, wait_s=5.0)

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0.01)
    await status(pull)
    for _ in range(turns):  # of the loop, by which the news is ahead of the end
        await asyncio.sleep(0)
    listening.cancel()

    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(2.0):
            await listening


async def test_nothing_within_the_limit_is_an_empty_list() -> None:
    assert await a_pull().take(10, wait_s=0.02) == []
