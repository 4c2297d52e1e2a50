"""Floods, silence and forgeries against the pool's process, while honest miners mine on."""

import asyncio
import contextlib
import dataclasses
import json
import os
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mbongi.run.pool_identity import Identity
from mbongi.wire.stratum_v2 import mining
from tests.pool.practice import Miner
from tests.pool.several import BLOCK_DIFFICULTY, STALE, Crowd, require_same
from tests.pool.test_pool_process import PoolProcess
from tests.pool.v2_miner import V2Miner
from tests.regtest import Chain, full_node

pytestmark = pytest.mark.system
ATTACKER, CLUMSY = "127.0.0.66", "127.0.0.67"


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with full_node(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.fixture
def pool(tmp_path: Path, chain: Chain) -> Iterator[PoolProcess]:
    process = PoolProcess(tmp_path, chain)
    changes: dict[str, Any] = {
        "block_difficulty_min": BLOCK_DIFFICULTY,
        "silent_s": 3.0,
        "connects_per_s_per_address": 20.0,
        "connections_per_address": 150,
        "bytes_per_s": 8_192.0,
    }
    process.config = dataclasses.replace(process.config, pool=dataclasses.replace(process.config.pool, **changes))
    process.start()
    yield process
    process.end()


async def attack(port: int, data: bytes, *, address: str = ATTACKER) -> bool:
    """One connection that sends this; whether the pool let it in at all."""
    try:
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
            try:
                writer.write(data)
                return bool(await reader.read(1))
            finally:
                await _closed(writer)
    except (OSError, TimeoutError):
        return False


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_a_flood_of_connections_and_garbage_from_one_address_leaves_others_alone(pool: PoolProcess) -> None:
    crowd = Crowd(pool.port, 4)
    await crowd.progress(10)
    garbage = [os.urandom(40_000), b"\n".join([b'{"id":1,"method":"mining.nonsense","params":[]}'] * 60) + b"\n", b"["]
    before = crowd.connects
    for round_ in range(6):
        await asyncio.gather(*(attack(pool.port, garbage[number % 3]) for number in range(60)))
        if round_ % 2:
            await crowd.progress(5)
    shut_out = not await attack(pool.port, b'{"id":1,"method":"mining.subscribe","params":[]}\n')
    ping = b'{"id":1,"method":"mining.ping","params":[]}\n'
    elsewhere = await attack(pool.port, ping, address=CLUMSY)
    await crowd.stop()

    assert shut_out
    assert "address_shut_out" in pool.log()
    assert elsewhere, "one address's ban is another's nothing"
    assert crowd.connects == before, "no honest miner was disconnected"
    assert not set(crowd.rejects) - {STALE}
    require_same(pool.shares(), crowd)


async def test_who_connects_and_says_nothing_or_never_reads_is_dropped(pool: PoolProcess) -> None:
    crowd = Crowd(pool.port, 3)
    await crowd.progress(5)
    silent = [await asyncio.open_connection("127.0.0.1", pool.port, local_addr=(CLUMSY, 0)) for _ in range(40)]
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    slow.bind((CLUMSY, 0))
    slow.setblocking(False)  # noqa: FBT003 -- the library's
    loop = asyncio.get_running_loop()
    await loop.sock_connect(slow, ("127.0.0.1", pool.port))
    asking = asyncio.create_task(_ask_and_never_read(loop, slow))
    async with asyncio.timeout(60):
        for reader, _writer in silent:
            assert await reader.read() == b""
        await asking
    for _reader, writer in silent:
        await _closed(writer)
    slow.close()
    await crowd.progress(5)
    await crowd.stop()

    assert "silent_connection_dropped" in pool.log()
    require_same(pool.shares(), crowd)


async def _ask_and_never_read(loop: asyncio.AbstractEventLoop, slow: socket.socket) -> None:
    """Within its rate of bytes, until the pool breaks the connection."""
    question = b'{"id":1,"method":"mining.subscribe","params":[]}\n'
    with contextlib.suppress(OSError):
        while True:
            await loop.sock_sendall(slow, question * 40)
            await asyncio.sleep(0.3)


async def test_forged_and_replayed_shares_count_for_nothing(pool: PoolProcess) -> None:
    crowd = Crowd(pool.port, 2)
    thief, honest = await Miner.connect(pool.port, worker="thief.a"), await Miner.connect(pool.port, worker="acct.h")
    stolen = honest.solve()
    own = thief.solve()
    first = await thief.submit(own, "thief.a")
    job, second, time_text, nonce = own
    forgeries = [
        stolen,  # another's share: with the thief's part of the search space it is another header
        own,
        [job, second, time_text, f"{int(nonce, 16) ^ 1:08x}"],
        [job, second.upper() if second.upper() != second else second[::-1], f"{int(time_text, 16) + 1:08x}", nonce],
        [f"{int(job, 16) + 256:x}", second, time_text, nonce],
        [job, second, time_text, nonce, "20000000"],
        [job, second + "00", time_text, nonce],
    ]
    answers = [json.dumps((await thief.submit(fields, "thief.a"))["error"]) for fields in forgeries]
    other_name = await thief.submit(thief.solve(extranonce2=9), "acct.h")
    assert (await honest.submit(stolen, "acct.h"))["result"] is True
    await crowd.progress(10)
    await crowd.stop()
    for each in (thief, honest):
        each.close()

    logged = Counter(worker for _share, worker in pool.shares())
    assert first["result"] is True
    luck = answers.count("null")  # another header than the one that was found is a share once in 256 times
    assert luck < 3, answers
    assert json.loads(answers[1])[0] == 22
    assert other_name["error"][0] == 24
    assert (logged["thief.a"], logged["acct.h"]) == (1 + luck, 1)


async def test_half_handshakes_and_forged_shares_of_v2_count_for_nothing(pool: PoolProcess) -> None:
    crowd, port = Crowd(pool.port, 2), pool.config.pool.v2_port
    key = Identity(pool.config.site.data_dir / "secrets").authority_key
    steady, thief = [await V2Miner.shake_hands(port, key, now_s=int(time.time())) for _ in range(2)]
    await steady.open(extended=True, user="acct.v2")
    await thief.open(extended=True, user="thief.v2")
    words = [b"", os.urandom(63), os.urandom(64), os.urandom(400)]
    clumsy = [await asyncio.open_connection("127.0.0.1", port, local_addr=(CLUMSY, 0)) for _ in range(40)]
    for number, (_reader, writer) in enumerate(clumsy):
        writer.write(words[number % len(words)])
    own, others = thief.solve(), steady.solve()
    assert isinstance(own, mining.SubmitSharesExtended)
    assert await _verdict(thief, own) == ""
    forgeries: list[dict[str, Any]] = [
        {},
        {"nonce": own.nonce ^ 1},
        {"job_id": own.job_id + 99},
        {"channel_id": own.channel_id + 99},
        {"ntime": own.ntime + 90_000},
        {"extranonce": own.extranonce + b"x"},
    ]
    codes = [await _verdict(thief, msgspec.structs.replace(own, **changes)) for changes in forgeries]
    codes.append(await _verdict(thief, msgspec.structs.replace(others, channel_id=own.channel_id)))
    assert await _verdict(steady, others) == "", "it is its finder's still"
    await crowd.progress(10)
    async with asyncio.timeout(60):
        for reader, writer in clumsy:
            with contextlib.suppress(ConnectionError):
                while await reader.read(4096):
                    pass
            await _closed(writer)
    while (verdict := await _verdict(steady, steady.solve(extranonce=b"8" * 8))) == "stale-share":
        continue  # the crowd has found a block meanwhile, and the answer comes behind the work on it
    assert verdict == ""
    await crowd.stop()
    for each in (steady, thief):
        each.close()

    assert codes[0] == "duplicate-share"
    assert codes[2] == "invalid-job-id"
    luck = codes.count("")  # another header than the one that was found is a share once in 256 times
    assert luck < 3, codes
    logged = Counter(worker for _share, worker in pool.shares())
    assert (logged["thief.v2"], logged["acct.v2"]) == (1 + luck, 2)
    assert crowd.connects == 2
    require_same(pool.shares(), crowd)


async def _verdict(miner: V2Miner, share: Any) -> str:
    """What the pool says against a share; empty where it counts."""
    miner.say(share)
    answer = await miner.hear((mining.SubmitSharesSuccess, mining.SubmitSharesError))
    return "" if isinstance(answer, mining.SubmitSharesSuccess) else str(answer.error_code)
