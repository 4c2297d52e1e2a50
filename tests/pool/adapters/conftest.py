"""The stub of a node, for each test a new one on a free port."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.pool.adapters.stub_node import Stub


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    made = Stub()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await asyncio.sleep(0)
