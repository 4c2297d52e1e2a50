"""Stratum V1 over TLS at the pool's process: miners, a certificate renewed under them, and what is no TLS."""

import asyncio
import contextlib
import dataclasses
import os
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.embedded import free_ports
from tests.pool.daemon.test_serving import shown_name, write_pair
from tests.pool.practice import Miner
from tests.pool.several import BLOCK_DIFFICULTY, STALE, Crowd, require_same
from tests.pool.test_pool_process import PoolProcess
from tests.regtest import Chain, full_node

pytestmark = pytest.mark.system
CLUMSY = "127.0.0.68"


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with full_node(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.fixture
def pool(tmp_path: Path, chain: Chain) -> Iterator[PoolProcess]:
    process = PoolProcess(tmp_path, chain)
    certificate, key = write_pair(tmp_path, "first.example")
    settings = dataclasses.replace(
        process.config.pool,
        block_difficulty_min=BLOCK_DIFFICULTY,
        tls_port=free_ports(1)[0],
        tls_certificate=certificate,
        tls_key=key,
    )
    process.config = dataclasses.replace(process.config, pool=settings)
    process.start()
    yield process
    process.end()


def trusting(folder: Path) -> ssl.SSLContext:
    """A miner that takes the pool's present certificate and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(folder / "pool.pem")
    return context


async def shown_by(pool: PoolProcess, name: str, folder: Path) -> Miner:
    """A miner that the certificate with this name was shown to, as soon as there is one."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(OSError):  # ssl.SSLError among them
                miner = await Miner.connect(pool.config.pool.tls_port, worker="acct.look", tls=trusting(folder))
                if shown_name(miner) == name:
                    return miner
                miner.close()
            await asyncio.sleep(0.2)


async def _newest_share(miner: Miner) -> dict[str, Any]:
    """The answer to a share of the newest work: blocks may have been found since the miner last read."""
    while True:
        answer = await miner.submit(miner.solve(), "acct.look")
        if answer["error"] is None or answer["error"][1] != STALE:
            return answer


async def test_miners_over_tls_mine_on_through_renewals_kill_9_and_a_bad_pair(
    pool: PoolProcess, tmp_path: Path
) -> None:
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    old = trusting(tmp_path)
    first = await shown_by(pool, "first.example", tmp_path)
    crowd = Crowd(pool.config.pool.tls_port, 2, tls=anybody)
    await crowd.progress(10)

    write_pair(tmp_path, "second.example")
    pool.signal(signal.SIGHUP)
    second = await shown_by(pool, "second.example", tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        await Miner.connect(pool.config.pool.tls_port, tls=old)
    write_pair(tmp_path, "third.example")  # nobody says so
    third = await shown_by(pool, "third.example", tmp_path)
    answers = [await _newest_share(each) for each in (first, second, third)]
    good = trusting(tmp_path)
    (tmp_path / "pool.key").write_text("nonsense")
    pool.signal(signal.SIGHUP)
    async with asyncio.timeout(30):
        while "certificate_not_read" not in pool.log():  # noqa: ASYNC110 -- another process's log
            await asyncio.sleep(0.1)
    (await Miner.connect(pool.config.pool.tls_port, tls=good)).close()
    connects = crowd.connects
    write_pair(tmp_path, "fourth.example")
    pool.end(signal.SIGKILL)
    await asyncio.to_thread(pool.start)
    await crowd.progress(10)
    await crowd.stop()
    for each in (first, second, third):
        each.close()

    assert [answer["result"] for answer in answers] == [True] * 3
    assert connects == 2, "no renewal disconnected a miner"
    assert not set(crowd.rejects) - {STALE, "Job not found"}, crowd.rejects
    require_same(pool.shares(), crowd)


async def test_what_never_ends_its_handshake_is_let_go_while_others_mine(pool: PoolProcess, tmp_path: Path) -> None:
    port = pool.config.pool.tls_port
    crowd = Crowd(port, 2, tls=trusting(tmp_path))
    await crowd.progress(5)
    half = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(40)  # a ClientHello cut short
    words = [b"", half, b'{"id":1,"method":"mining.subscribe","params":[]}\n', os.urandom(400)]
    clumsy = [await asyncio.open_connection("127.0.0.1", port, local_addr=(CLUMSY, 0)) for _ in range(40)]
    for number, (_reader, writer) in enumerate(clumsy):
        writer.write(words[number % len(words)])
    await crowd.progress(20)
    async with asyncio.timeout(60):
        for reader, writer in clumsy:
            with contextlib.suppress(ConnectionError):
                while await reader.read(4096):  # an alert may come first
                    pass
            writer.transport.abort()
    await crowd.progress(5)
    await crowd.stop()

    assert crowd.connects == 2
    require_same(pool.shares(), crowd)
