"""The proxy's process between Stratum V1 miners and pools on a real full node's chain."""

import asyncio
import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mbongi.base.config import Config, Proxy, Site, as_environment
from mbongi.pool.adapters.node_rpc import NodeRpc
from mbongi.pool.daemon.share_log import BLOCK_FLAG
from mbongi.run.pool_identity import Identity
from mbongi.wire.noise.certificate import PoolAddress
from mbongi.wire.noise.secp import new_secret, x_only_of_secret
from tests.core.data_plane import SOURCE
from tests.embedded import free_ports
from tests.pool.practice import Miner
from tests.pool.test_pool_process import SHARE_DIFFICULTY, PoolProcess, _info, chain
from tests.regtest import Chain

pytestmark = pytest.mark.system
__all__ = ["chain"]
WAIT_S = 60.0


class ProxyProcess:
    """``mbongi proxy`` in a folder of its own."""

    def __init__(self, directory: Path, *upstreams: str, **settings: Any) -> None:
        self.port, self.metrics_port = free_ports(2)
        self._directory = directory
        directory.mkdir(exist_ok=True)
        proxy = Proxy(
            upstreams=upstreams,
            port=self.port,
            metrics_port=self.metrics_port,
            difficulty_start=SHARE_DIFFICULTY,
            difficulty_min=SHARE_DIFFICULTY,
            shares_per_minute=600.0,
        )
        self._config = Config(site=Site(data_dir=directory / "var"), proxy=dataclasses.replace(proxy, **settings))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MBONGI_")}
        environment |= as_environment(self._config) | {"PYTHONPATH": str(SOURCE)}
        with (self._directory / "proxy.log").open("ab") as log:
            words = [sys.executable, "-m", "mbongi.cli", "proxy"]
            self._process = subprocess.Popen(words, env=environment, stdout=log, stderr=log, cwd=self._directory)

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(timeout=30)

    def log(self) -> str:
        return (self._directory / "proxy.log").read_text(encoding="utf-8")

    async def connect(self, worker: str = "acct.one") -> Miner:
        """A miner with its first work, as soon as the proxy takes it."""
        async with asyncio.timeout(WAIT_S):
            while True:
                with contextlib.suppress(OSError):
                    return await Miner.connect(self.port, worker=worker)
                assert self._process is not None
                assert self._process.poll() is None, self.log()
                await asyncio.sleep(0.1)

    async def said(self, words: str) -> None:
        """Wait until the log has these words."""
        async with asyncio.timeout(WAIT_S):
            while words not in self.log():  # noqa: ASYNC110 -- another process's state
                await asyncio.sleep(0.1)

    async def figures(self) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.metrics_port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        found = await reader.read()
        writer.close()
        return found.decode()


@contextlib.contextmanager
def started(process: Any) -> Iterator[Any]:
    """A process for as long as a test needs it."""
    process.start()
    try:
        yield process
    finally:
        process.end()


def url_of(pool: PoolProcess) -> str:
    """A pool's address, with its key."""
    identity = Identity(pool.config.site.data_dir / "secrets")
    return PoolAddress("127.0.0.1", pool.config.pool.v2_port, identity.authority_key).url()


def pool_in(directory: Path, chain: Chain) -> PoolProcess:
    directory.mkdir()
    return PoolProcess(directory, chain)


async def soon_accepted(miner: Miner, worker: str = "acct.one") -> list[str]:
    """The fields of the first share that is accepted, of the work that comes."""
    number = int(time.monotonic() * 1000) % 2**24
    async with asyncio.timeout(WAIT_S):
        while True:
            number += 1
            fields = miner.solve(extranonce2=number)
            if (await miner.submit(fields, worker))["result"]:
                return fields
            await miner.drain(0.1)


async def test_shares_count_for_their_workers_and_a_rolled_one_becomes_a_block(tmp_path: Path, chain: Chain) -> None:
    pool = pool_in(tmp_path / "pool", chain)
    with started(pool), started(ProxyProcess(tmp_path / "proxy", url_of(pool))) as proxy:
        one, two = await proxy.connect("acct.one"), await proxy.connect("acct.two")
        assert (await one.submit(one.solve(), "acct.one"))["result"] is True
        assert (await two.submit(two.solve(), "acct.two"))["result"] is True
        before, _ = await _info(chain)

        answer = await two.submit(two.solve(target=(0xFFFF << 208) * 2**14, rolled=0x0034_A000), "acct.two")
        async with asyncio.timeout(WAIT_S):
            while (await _info(chain))[0] == before:  # noqa: ASYNC110 -- another process's state
                await asyncio.sleep(0.05)
        _height, tip = await _info(chain)
        rpc = NodeRpc(chain.address)
        header = await rpc.header(tip)
        await rpc.close()
        await soon_accepted(one)
        figures = await proxy.figures()
        kept = [(worker, share.flags & BLOCK_FLAG, share.hash[::-1].hex()) for share, worker in pool.shares()]

    assert answer["result"] is True
    assert header.version & 0x1FFF_E000 == 0x0034_A000
    assert [worker for worker, _flag, _hash in kept][:2] == ["acct.one", "acct.two"]
    assert ("acct.two", BLOCK_FLAG, tip) in kept
    assert "block_share_sent" in proxy.log()
    assert f"mbongi_proxy_shares_accepted_total {len(kept)}.0" in figures
    one.close()
    two.close()


async def test_a_pool_killed_and_back_leaves_miners_connected_and_no_accepted_share_is_lost(
    tmp_path: Path, chain: Chain
) -> None:
    pool = pool_in(tmp_path / "pool", chain)
    with started(pool), started(ProxyProcess(tmp_path / "proxy", url_of(pool), hold_s=600.0)) as proxy:
        miner = await proxy.connect()
        accepted = [await soon_accepted(miner) for _ in range(5)]
        pool.end(signal.SIGKILL)
        await proxy.said("upstream_lost")
        refused = await miner.submit(miner.solve(extranonce2=999))
        pool.start()
        accepted += [await soon_accepted(miner) for _ in range(5)]
        kept = {(f"{share.nonce:08x}", share.extranonce[-4:].hex()) for share, _worker in pool.shares()}

    assert refused["error"][:2] == [20, "No link to a pool at present"]
    assert {(fields[3], fields[1]) for fields in accepted} <= kept
    assert proxy.log().count("upstream_lost") == 1
    assert proxy.log().count("upstream_up") == 2
    miner.close()


async def test_a_proxy_killed_under_load_loses_no_accepted_share_and_none_is_twice(
    tmp_path: Path, chain: Chain
) -> None:
    pool = pool_in(tmp_path / "pool", chain)
    accepted: list[tuple[str, str, str]] = []
    with started(pool):
        proxy = ProxyProcess(tmp_path / "proxy", url_of(pool))
        for round_ in range(3):
            worker = f"acct.{round_}"
            proxy.start()
            miner = await proxy.connect(worker)
            for _ in range(20):
                fields = await soon_accepted(miner, worker)
                accepted.append((worker, fields[3], fields[1]))
            proxy.end(signal.SIGKILL)
            miner.close()
        kept = [(worker, f"{share.nonce:08x}", share.extranonce[-4:].hex()) for share, worker in pool.shares()]

    assert sorted(accepted) == sorted(kept)


async def test_a_wrong_key_is_one_error_and_nobody_can_connect(tmp_path: Path, chain: Chain) -> None:
    pool = pool_in(tmp_path / "pool", chain)
    wrong = PoolAddress("127.0.0.1", pool.config.pool.v2_port, x_only_of_secret(new_secret())).url()
    with started(pool), started(ProxyProcess(tmp_path / "proxy", wrong)) as proxy:
        await proxy.said("upstream_not_trusted")
        await asyncio.sleep(2.0)  # it tries again, and says nothing more
        with pytest.raises(OSError, match=r"Connect call failed|refused"):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        assert proxy.log().count("did not sign the server's key") == 1


async def test_a_second_pool_takes_over_when_the_first_is_killed(tmp_path: Path, chain: Chain) -> None:
    first, second = pool_in(tmp_path / "first", chain), pool_in(tmp_path / "second", chain)
    upstreams = url_of(first), url_of(second)
    first.start()
    with started(second), started(ProxyProcess(tmp_path / "proxy", *upstreams, hold_s=600.0)) as proxy:
        miner = await proxy.connect()
        await soon_accepted(miner)
        first.end(signal.SIGKILL)
        await soon_accepted(miner)

        assert second.shares()
        assert len(first.shares()) >= 1
        miner.close()


@pytest.mark.parametrize("aggregate", [False, True])
async def test_two_hundred_miners_work_over_one_link(tmp_path: Path, chain: Chain, aggregate: bool) -> None:
    pool = pool_in(tmp_path / "pool", chain)
    proxy = ProxyProcess(tmp_path / "proxy", url_of(pool), aggregate=aggregate)
    with started(pool), started(proxy):
        (await proxy.connect()).close()  # it is there
        miners = [await Miner.connect(proxy.port, worker=f"acct.{number}") for number in range(200)]
        for number, miner in enumerate(miners):
            await soon_accepted(miner, f"acct.{number}")
        figures = await proxy.figures()
        workers = {worker for _share, worker in pool.shares()}
        for miner in miners:
            miner.close()

    assert "mbongi_proxy_miners 200.0" in figures
    assert f"mbongi_proxy_channels {1 if aggregate else 200}.0" in figures
    assert aggregate or workers == {f"acct.{number}" for number in range(200)}


async def test_a_proxy_without_a_pool_or_with_one_without_key_says_what_is_expected(tmp_path: Path) -> None:
    for upstreams in ((), ("stratum2+tcp://127.0.0.1:3336",), ("http://127.0.0.1",)):
        proxy = ProxyProcess(tmp_path / "proxy", *upstreams)
        proxy.start()
        assert proxy._process is not None
        assert proxy._process.wait(timeout=30) == 2
        assert proxy.log().count("mbongi proxy: proxy.upstreams") == 1
        (tmp_path / "proxy" / "proxy.log").unlink()
