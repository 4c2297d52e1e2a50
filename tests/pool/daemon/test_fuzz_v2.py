"""Sessions of Stratum V2 under clients that do anything: no exception, nothing unbounded, honest miners unaffected."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.pool.daemon.fuzz_v2 import Rig


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.AbstractEventLoop, Rig]]:
    loop = asyncio.new_event_loop()
    caught: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _loop, context: caught.append(context))

    async def made() -> Rig:
        return Rig(tmp_path_factory.mktemp("fuzz"))

    rig = loop.run_until_complete(made())
    yield loop, rig
    assert caught == []
    rig.server.log.close()
    loop.close()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.binary(max_size=600))
def test_whatever_clients_do_the_server_goes_on_and_no_share_counts_more_than_its_hash(
    bench: tuple[asyncio.AbstractEventLoop, Rig], data: bytes
) -> None:
    loop, rig = bench
    loop.run_until_complete(rig.run(data))
