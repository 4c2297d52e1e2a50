"""The pool's process against a real full node: blocks that the node accepts, shares that outlive ``kill -9``."""

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

import pytest

from mbongi.base.config import Config, Pool, Site, as_environment
from mbongi.pool.adapters.node_rpc import NodeRpc
from mbongi.pool.daemon.share_log import BLOCK_FLAG, LoggedShare, files_of, read_shares
from mbongi.run import pool
from mbongi.run.pool_identity import Identity
from mbongi.wire.bitcoin.target import target_of_bits
from mbongi.wire.stratum_v2 import mining
from tests.core.data_plane import SOURCE, ask
from tests.embedded import free_ports
from tests.pool.practice import Miner
from tests.pool.v2_miner import V2Miner
from tests.regtest import Chain, full_node

pytestmark = pytest.mark.system
SHARE_DIFFICULTY = 2.0**-24
"""256 hashes; on the practice chain every second hash is a block, so blocks are told apart by a harder target."""
BLOCK_DIFFICULTY = 2.0**-14


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with full_node(tmp_path_factory.mktemp("node")) as running:
        yield running


class PoolProcess:
    """``mbongi pool`` in a folder of its own."""

    def __init__(self, directory: Path, chain: Chain) -> None:
        port, v2_port = free_ports(2)
        self.config = Config(
            site=Site(data_dir=directory / "var"),
            pool=Pool(
                **chain.settings,
                port=port,
                v2_port=v2_port,
                difficulty_start=SHARE_DIFFICULTY,
                difficulty_min=SHARE_DIFFICULTY,
                shares_per_minute=600.0,
                block_difficulty_min=BLOCK_DIFFICULTY,
            ),
        )
        self.port, self._directory = port, directory
        self.words = [sys.executable, "-m", "mbongi.cli", "pool"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MBONGI_")}
        environment |= as_environment(self.config) | {"PYTHONPATH": f"{SOURCE}:{SOURCE.parent}"}
        with (self._directory / "pool.log").open("ab") as log:
            self._process = subprocess.Popen(self.words, env=environment, stdout=log, stderr=log, cwd=self._directory)
        for _ in range(300):
            if ask(pool.ready, self.config):
                return
            assert self._process.poll() is None, self.log()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.1)
        raise AssertionError(self.log())

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(timeout=15)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def log(self) -> str:
        return (self._directory / "pool.log").read_text(encoding="utf-8")

    def shares(self) -> list[tuple[LoggedShare, str]]:
        folder = self.config.site.data_dir / "pool" / "shares" / "0"
        return [each for path in files_of(folder) for each in read_shares(path)]


@pytest.fixture
def running(tmp_path: Path, chain: Chain) -> Iterator[PoolProcess]:
    process = PoolProcess(tmp_path, chain)
    process.start()
    yield process
    process.end()


async def _info(chain: Chain) -> tuple[int, str]:
    rpc = NodeRpc(chain.address)
    info = await rpc.info()
    await rpc.close()
    return info.blocks, info.bestblockhash


async def test_a_version_rolled_winning_share_becomes_a_block_with_its_rolled_header(
    running: PoolProcess, chain: Chain
) -> None:
    before, _ = await _info(chain)
    miner = await Miner.connect(running.port)
    target = (0xFFFF << 208) * 2**14

    answer = await miner.submit(miner.solve(target=target, rolled=0x0034_A000))
    async with asyncio.timeout(20):
        while (await _info(chain))[0] == before:  # noqa: ASYNC110 -- another process's state
            await asyncio.sleep(0.05)
    height, tip = await _info(chain)
    rpc = NodeRpc(chain.address)
    header = await rpc.header(tip)
    block = bytes.fromhex(await rpc.call("getblock", tip, *[False]))
    await rpc.close()

    assert answer["result"] is True
    assert height == before + 1
    assert header.version & 0x1FFF_E000 == 0x0034_A000
    at = block.index(b"\x08/Mbongi/\x04") + 10  # the tag, then the job's number in four bytes
    assert block[at + 4 :].startswith(b"\x01" + miner.extranonce1)
    [(share, worker)] = running.shares()
    assert (share.hash[::-1].hex(), worker, share.flags & BLOCK_FLAG) == (tip, "acct.one", BLOCK_FLAG)
    miner.close()


@pytest.mark.parametrize("extended", [False, True])
async def test_a_share_of_stratum_v2_becomes_a_block_too(running: PoolProcess, chain: Chain, extended: bool) -> None:
    before, _ = await _info(chain)
    identity = Identity(running.config.site.data_dir / "secrets")
    now_s = int(time.time())
    miner = await V2Miner.shake_hands(running.config.pool.v2_port, identity.authority_key, now_s=now_s)
    await miner.open(extended=extended)

    miner.say(miner.solve(target=(0xFFFF << 208) * 2**14, rolled=0x0012_3440))
    await miner.hear(mining.SubmitSharesSuccess)
    async with asyncio.timeout(20):
        while (await _info(chain))[0] == before:  # noqa: ASYNC110 -- another process's state
            await asyncio.sleep(0.05)
    _height, tip = await _info(chain)
    rpc = NodeRpc(chain.address)
    header = await rpc.header(tip)
    await rpc.close()

    assert header.version & 0x1FFF_FFE0 == 0x0012_3440, "the node has the header as it was rolled"
    [(share, worker)] = running.shares()
    assert (share.hash[::-1].hex(), worker, share.protocol) == (tip, "acct.v2", 2)
    assert share.version & 0x1FFF_FFE0 == 0x0012_3440
    miner.close()


async def test_a_new_block_makes_earlier_work_stale_at_once(running: PoolProcess, chain: Chain) -> None:
    miner = await Miner.connect(running.port)
    late = miner.solve()
    rpc = NodeRpc(chain.address)
    await rpc.call("generatetoaddress", 1, chain.burned)
    await rpc.close()
    old = miner.work
    assert old is not None
    async with asyncio.timeout(20):
        while miner.work is None or miner.work.previous == old.previous:
            await miner.read()

    answer = await miner.submit(late)

    assert miner.work.clean
    assert answer["error"][:2] == [21, "Stale: the chain has moved on"]
    assert target_of_bits(miner.work.bits) > 0
    miner.close()


async def test_accepted_shares_outlive_kill_9_and_none_is_twice_in_the_log(tmp_path: Path, chain: Chain) -> None:
    process = PoolProcess(tmp_path, chain)
    process.config = dataclasses.replace(
        process.config, pool=dataclasses.replace(process.config.pool, block_difficulty_min=1.0)
    )
    accepted: list[str] = []
    for round_ in range(3):
        process.start()
        miner = await Miner.connect(process.port, worker=f"acct.{round_}")
        for number in range(20):
            fields = miner.solve(extranonce2=number)
            if (await miner.submit(fields, worker=f"acct.{round_}")).get("result"):
                accepted.append(f"acct.{round_} {fields[3]} {fields[1]}")
        process.end(signal.SIGKILL)
        miner.close()

    kept = [f"{worker} {share.nonce:08x} {share.extranonce[5:].hex()}" for share, worker in process.shares()]

    assert len(accepted) == 60
    assert sorted(kept) == sorted(accepted)


async def test_without_a_node_miners_are_sent_to_their_next_pool_and_come_back(tmp_path: Path) -> None:
    [port] = free_ports(1)
    folder = tmp_path / "node"
    folder.mkdir()
    with full_node(folder, port) as chain:
        process = PoolProcess(tmp_path, chain)
        process.start()
        miner = await Miner.connect(process.port)

    async with asyncio.timeout(40):
        with pytest.raises(ConnectionResetError):
            await miner.read_on()
    miner.close()
    with pytest.raises(OSError, match=r"Connect call failed|refused"):
        await asyncio.open_connection("127.0.0.1", process.port)
    with full_node(folder, port):
        async with asyncio.timeout(30):
            while not await pool.ready(process.config):  # noqa: ASYNC110 -- another process's state
                await asyncio.sleep(0.2)
        again = await Miner.connect(process.port)
        assert (await again.submit(again.solve()))["result"] is True
        again.close()
        process.end()
    assert process.log().count("no_new_work") == 1
