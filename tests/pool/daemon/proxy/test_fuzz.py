"""Whatever miners and pools say, the proxy goes on: answers are JSON lines, and a bad peer loses its own connection.

The connections' own callbacks are called, with transports that write down what is sent; nothing waits for a socket.
"""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbongi.pool.daemon.gate import Limits
from mbongi.pool.daemon.proxy.downstream import Downstream
from mbongi.pool.daemon.proxy.link import Link
from mbongi.pool.daemon.proxy.server import Options, ProxyServer
from mbongi.wire.noise.certificate import PoolAddress
from mbongi.wire.noise.handshake import Session
from mbongi.wire.noise.transport import CipherState, FrameDecryptor, encrypt_frame
from mbongi.wire.stratum_v2 import mining, registry, setup
from tests.pool.daemon.proxy.odd_pool import EASY_TARGET, OddPool

EVERYTHING = Limits(
    per_address_max=10**6, connects_per_s_per_address=1e9, bytes_per_s_max=1e12, bytes_per_s_per_address=1e12
)
KEY = bytes(32)


class Paper(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_aborted = False

    def write(self, data: Any) -> None:
        self.written += data

    def abort(self) -> None:
        self.is_aborted = True

    def is_closing(self) -> bool:
        return self.is_aborted

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default


def linked(server: ProxyServer) -> tuple[Link, CipherState]:
    """A link past its handshake, and the cipher of what its pool says."""
    link = Link(PoolAddress("pool", 1, KEY), server, server.bodies)
    link.transport = Paper()
    session = Session(sending=CipherState(KEY), receiving=CipherState(KEY))
    link._sending = session.sending
    link._decryptor = FrameDecryptor(session.receiving, payload_bytes_max=1 << 20)
    link._is_set_up = True
    link._ready.set_result(None)
    server.linked(link)
    return link, CipherState(KEY)


async def miner_of(server: ProxyServer) -> tuple[Downstream, Paper]:
    miner, paper = Downstream(server), Paper()
    miner.connection_made(paper)
    miner.data_received(b'{"id":1,"method":"mining.subscribe","params":[]}\n')
    miner.data_received(b'{"id":2,"method":"mining.authorize","params":["acct.one","x"]}\n')
    await asyncio.sleep(0)
    return miner, paper


def give_work(link: Link, sealing: CipherState) -> None:
    """The pool opens the channel that is asked for, with work."""
    pool = OddPool()
    for message in (
        mining.OpenExtendedMiningChannelSuccess(1, 1, EASY_TARGET, 8, b"pool", 7),
        pool.job(1, 1),
        pool.tip(1, 1),
    ):
        link.data_received(encrypt_frame(sealing, registry.encode(message)))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
methods = st.sampled_from([*Downstream.handlers, "mining.x", ""])
hexes = st.text("0123456789abcdefxX ", max_size=20)
wishes = st.sampled_from(["mining.suggest_difficulty", "mining.suggest_target", "mining.authorize"])
extremes = st.sampled_from([1e300, 1e-300, 1e308, 0, -1, "ff" * 32, "0" * 63 + "1", "é" * 128, "a" * 200, "x"])
minimums = st.sampled_from([1e300, 1e-300, "1e400", -1])
submits = st.tuples(
    st.just("acct.one") | st.text(max_size=6),
    st.sampled_from(["300", "301", "201", "1", "zz", "-1"]) | hexes,
    hexes,
    hexes,
    hexes,
)
lines = st.one_of(
    st.binary(max_size=200).map(lambda junk: junk.replace(b"\n", b" ")),
    st.builds(
        lambda id_, method, params: json.dumps({"id": id_, "method": method, "params": params}).encode(),
        values,
        methods,
        values,
    ),
    st.builds(
        lambda method, wish: json.dumps({"id": 7, "method": method, "params": [wish]}).encode(), wishes, extremes
    ),
    minimums.map(
        lambda least: json.dumps(
            {
                "id": 8,
                "method": "mining.configure",
                "params": [["minimum-difficulty"], {"minimum-difficulty.value": least}],
            }
        ).encode()
    ),
    submits.map(lambda fields: json.dumps({"id": 5, "method": "mining.submit", "params": list(fields)}).encode()),
)


@settings(max_examples=300)
@given(st.lists(lines, max_size=12), st.booleans(), st.lists(st.integers(1, 60), max_size=5))
def test_whatever_a_miner_says_it_gets_json_lines_and_never_an_exception(
    said: list[bytes], aggregate: bool, cuts: list[int]
) -> None:
    async def play() -> None:
        server = ProxyServer(Options(aggregate=aggregate), limits=EVERYTHING)
        link, sealing = linked(server)
        miner, paper = await miner_of(server)
        give_work(link, sealing)
        await asyncio.sleep(0)
        assert b"mining.notify" in paper.written
        whole, at = b"".join(line + b"\n" for line in said), 0
        for cut in [*cuts, len(whole)]:
            if not paper.is_aborted:
                miner.data_received(whole[at : at + cut])
            at += cut
        for later_s in (0.0, 60.0, 1e6):
            miner.look(server.now_s() + later_s)
            server._update_shared()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for answer in bytes(paper.written).splitlines():
            assert isinstance(json.loads(answer), dict)
        assert link.transport is not None  # no miner can break the link
        miner.connection_lost(None)
        link.close("the test ends")

    asyncio.run(play())


NUMBERS = st.integers(0, 3) | st.integers(0, 2**32 - 1)
TARGETS = st.just(EASY_TARGET) | st.integers(0, 2**256 - 1)
HASHES = st.binary(min_size=32, max_size=32)
messages = st.one_of(
    st.builds(
        mining.OpenExtendedMiningChannelSuccess,
        NUMBERS, NUMBERS, TARGETS, st.integers(0, 40), st.binary(max_size=32), NUMBERS,
    ),
    st.builds(mining.OpenMiningChannelError, NUMBERS, st.text(max_size=20)),
    st.builds(
        mining.NewExtendedMiningJob, NUMBERS, NUMBERS, st.none() | NUMBERS, NUMBERS, st.booleans(),
        st.lists(HASHES, max_size=3).map(tuple), st.binary(max_size=80), st.binary(max_size=80),
    ),
    st.builds(mining.SetNewPrevHash, NUMBERS, NUMBERS, HASHES, NUMBERS, st.sampled_from([0x1D00FFFF, 0]) | NUMBERS),
    st.builds(mining.SetTarget, NUMBERS, TARGETS),
    st.builds(mining.SetExtranoncePrefix, NUMBERS, st.binary(max_size=32)),
    st.builds(mining.SubmitSharesSuccess, NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    st.builds(mining.SubmitSharesError, NUMBERS, NUMBERS, st.text(max_size=20)),
    st.builds(mining.CloseChannel, NUMBERS, st.text(max_size=20)),
    st.builds(mining.SetGroupChannel, NUMBERS, st.lists(NUMBERS, max_size=3).map(tuple)),
    st.builds(mining.UpdateChannelError, NUMBERS, st.text(max_size=20)),
    st.builds(setup.Reconnect, st.text(max_size=20), st.integers(0, 65_535)),
    st.builds(setup.SetupConnectionSuccess, st.just(2), NUMBERS),
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(messages, max_size=12), st.booleans())
def test_whatever_a_pool_says_the_worst_is_that_its_link_ends(said: list[Any], aggregate: bool) -> None:
    async def play() -> None:
        server = ProxyServer(Options(aggregate=aggregate), limits=EVERYTHING)
        link, sealing = linked(server)
        miner, paper = await miner_of(server)
        give_work(link, sealing)
        for message in said:
            if not link.lost.is_set():
                link.data_received(encrypt_frame(sealing, registry.encode(message)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for answer in bytes(paper.written).splitlines():
            assert isinstance(json.loads(answer), dict)
        assert (server.link is None) == link.lost.is_set()
        assert all(channel.id in link.channels for channel in link.channels.values())
        miner.connection_lost(None)
        link.close("the test ends")
        assert server.shares_waiting == 0

    asyncio.run(play())


@pytest.mark.parametrize("junk", [b"\0" * 22, b"\xff" * 400])
async def test_bytes_that_the_pool_did_not_seal_end_the_link(junk: bytes) -> None:
    server = ProxyServer(Options(), limits=EVERYTHING)
    link, _sealing = linked(server)
    link.data_received(junk)
    assert link.lost.is_set()
    assert server.link is None
