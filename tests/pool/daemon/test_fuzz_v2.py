"""Sessions of Stratum V2 under clients that do anything: no exception, nothing unbounded, honest miners unaffected."""

import asyncio
import hashlib
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.data_plane import SOURCE
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


@pytest.mark.system
def test_a_short_search_guided_by_coverage_finds_nothing(tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        assert sys.version_info >= (3, 14) or platform.machine() != "x86_64", "run ./mbongi test, which installs it"
        return
    for number in range(20):
        (tmp_path / str(number)).write_bytes(hashlib.shake_256(bytes([number])).digest(300))
    words = [sys.executable, "-m", "tests.pool.daemon.fuzz_v2_atheris", str(tmp_path)]
    limits = ["-runs=60", "-len_control=0", "-max_len=600", "-timeout=120", "-rss_limit_mb=3000"]
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    found = subprocess.run(
        [*words, *limits], env=environment, cwd=SOURCE.parent, capture_output=True, text=True, timeout=400, check=False
    )
    assert found.returncode == 0, found.stderr[-3000:]
