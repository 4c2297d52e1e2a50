"""Sessions under clients that do anything: no exception, nothing unbounded, honest miners unaffected."""

import asyncio
import hashlib
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.data_plane import SOURCE
from tests.pool.daemon import fuzz_handshake, fuzz_v1, fuzz_v2

Bench = tuple[asyncio.AbstractEventLoop, Any]
BYTES = st.binary(min_size=300, max_size=600) | st.binary(max_size=600)
EXAMPLES = settings(max_examples=200)


@contextmanager
def rig_of(target: ModuleType, folder: Path) -> Iterator[Bench]:
    """A rig on a loop of its own, on which nothing may fail unseen."""
    loop = asyncio.new_event_loop()
    caught: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _loop, context: caught.append(context))

    async def made() -> Any:
        return target.Rig(folder)

    rig = loop.run_until_complete(made())
    yield loop, rig
    assert caught == []
    rig.server.log.close()
    loop.close()


@pytest.fixture(scope="module")
def v1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with rig_of(fuzz_v1, tmp_path_factory.mktemp("v1")) as made:
        yield made


@pytest.fixture(scope="module")
def v2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with rig_of(fuzz_v2, tmp_path_factory.mktemp("v2")) as made:
        yield made


@pytest.fixture(scope="module")
def handshake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with rig_of(fuzz_handshake, tmp_path_factory.mktemp("handshake")) as made:
        yield made


@EXAMPLES
@given(data=BYTES)
def test_whatever_miners_of_v1_say_each_yes_is_a_share_in_the_log_and_each_share_a_yes(v1: Bench, data: bytes) -> None:
    loop, rig = v1
    loop.run_until_complete(rig.run(data))


@EXAMPLES
@given(data=BYTES)
def test_whatever_clients_of_v2_do_the_server_goes_on_and_no_share_counts_more_than_its_hash(
    v2: Bench, data: bytes
) -> None:
    loop, rig = v2
    loop.run_until_complete(rig.run(data))


@EXAMPLES
@given(data=BYTES)
def test_whatever_comes_for_a_handshake_only_the_right_bytes_open_a_connection(handshake: Bench, data: bytes) -> None:
    loop, rig = handshake
    loop.run_until_complete(rig.run(data))


@pytest.mark.system
@pytest.mark.parametrize("target", ["v1", "v2", "handshake"])
def test_a_short_search_guided_by_coverage_finds_nothing(tmp_path: Path, target: str) -> None:
    if importlib.util.find_spec("atheris") is None:
        assert sys.version_info >= (3, 14) or platform.machine() != "x86_64", "run ./mbongi test, which installs it"
        return
    for number in range(20):
        (tmp_path / str(number)).write_bytes(hashlib.shake_256(bytes([number])).digest(300))
    words = [sys.executable, "-m", "tests.pool.daemon.fuzz_atheris", target, str(tmp_path)]
    limits = ["-runs=60", "-len_control=0", "-max_len=600", "-timeout=120", "-rss_limit_mb=3000"]
    limits.append(f"-artifact_prefix={tmp_path}/")
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    found = subprocess.run(
        [*words, *limits], env=environment, cwd=SOURCE.parent, capture_output=True, text=True, timeout=400, check=False
    )
    assert found.returncode == 0, found.stderr[-3000:]
