"""A real full node on a chain of its own, segwit active: bcoin, or the Bitcoin Core named by ``MBONGI_TEST_BITCOIND``.

    with full_node(tmp_path) as chain:
        rpc = NodeRpc(chain.address)
        await rpc.call("generatetoaddress", 1, chain.burned)

Bitcoin Core signs in with its cookie, and also publishes its tips at ``chain.zmq``. Where its ``bitcoin-node`` is at
hand, that runs in the daemon's stead and opens its mining interface at ``chain.ipc``.
"""

import asyncio
import contextlib
import itertools
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mbongi.pool.adapters.node_rpc import NodeAddress, NodeRpc
from mbongi.pool.errors import NodeError
from mbongi.run import regtest
from mbongi.wire.bitcoin.address import address_of_script, networks, script_of_address
from mbongi.wire.bitcoin.hashing import display, from_display, sha256d
from mbongi.wire.bitcoin.header import pack_header
from mbongi.wire.bitcoin.script import height_push
from mbongi.wire.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from tests.embedded import free_ports

PROGRAM = os.environ.get("MBONGI_TEST_BITCOIND", "")
_NODES = (
    (Path(PROGRAM).with_name("bitcoin-node"), Path(PROGRAM).parents[1] / "libexec" / "bitcoin-node") if PROGRAM else ()
)
NODE: Final = next((path for path in _NODES if path.is_file()), None)
"""Bitcoin Core's other program, that has the mining interface; as it is built, and as it is installed."""
KEY = os.urandom(16).hex()
NETWORK: Final = "regtest" if PROGRAM else "regtest-bcoin"
START_S_MAX = 60.0


@dataclass(frozen=True)
class Chain:
    """The running node."""

    address: NodeAddress
    burned: str
    """An address of its network whose key nobody here uses."""
    process: "subprocess.Popen[bytes]"
    zmq: str
    """Empty for bcoin, which has none."""
    ipc: str
    """The mining interface's socket; empty where the node has none."""

    @property
    def settings(self) -> dict[str, Any]:
        """What a pool's configuration says of it."""
        address = self.address
        if address.cookie is None:
            return {"nodes": (f"http://{address.user}:{address.password}@{address.host}:{address.port}",)}
        return {
            "network": NETWORK,
            "address": self.burned,
            "nodes": (f"http://{address.host}:{address.port}",),
            "cookies": (str(address.cookie),),
            "zmq": (self.zmq,),
        }


@contextlib.contextmanager
def full_node(directory: Path, port: int | None = None, *, blocks: int = regtest.SEGWIT_BLOCKS) -> Iterator[Chain]:
    """Start it on this or a free port, bring it to so many blocks, stop it by its process id."""
    free_port, zmq_port = free_ports(2)
    port = port or free_port
    if PROGRAM:
        words, environment = _core(directory, port, zmq_port), dict(os.environ)
        address = NodeAddress("127.0.0.1", port, cookie=directory / "regtest" / ".cookie")
    else:
        words, environment = regtest.command(port=port, key=KEY, prefix=directory), regtest.environment()
        address = NodeAddress("127.0.0.1", port, "x", KEY)
    with (directory / "node.log").open("ab") as log:
        process = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
    try:
        burned = address_here(script_of_address(regtest.BURNED_ADDRESS, networks()["regtest-bcoin"]))
        with ThreadPoolExecutor(1) as thread:  # the calling thread may have a loop of its own
            thread.submit(asyncio.run, _begin(address, burned, process, directory, blocks)).result()
        zmq = f"tcp://127.0.0.1:{zmq_port}" if PROGRAM else ""
        yield Chain(address, burned, process, zmq, str(_socket(directory)) if NODE else "")
    finally:
        process.terminate()
        process.wait(timeout=30)


def _core(directory: Path, port: int, zmq_port: int) -> list[str]:
    options = {
        "regtest": 1,
        "server": 1,
        "listen": 0,
        "dnsseed": 0,
        "datadir": directory,
        "rpcport": port,
        "rpcbind": "127.0.0.1",
        "rpcallowip": "127.0.0.1",
        "zmqpubhashblock": f"tcp://127.0.0.1:{zmq_port}",
    }
    if NODE:
        options |= {"ipcbind": f"unix:{_socket(directory)}", "debug": "ipc"}
    return [str(NODE or PROGRAM), *(f"-{name}={value}" for name, value in options.items())]


def _socket(directory: Path) -> Path:
    return directory / "node.sock"


def address_here(script: bytes) -> str:
    """A script's address as the node that runs here writes it."""
    found = address_of_script(script, networks()[NETWORK])
    assert found is not None
    return found


async def _begin(
    address: NodeAddress, burned: str, process: "subprocess.Popen[bytes]", directory: Path, blocks: int
) -> None:
    end = time.monotonic() + START_S_MAX
    rpc = NodeRpc(address)
    while True:
        try:
            missing = blocks - (await rpc.info()).blocks
            if missing > 0:
                await rpc.call("generatetoaddress", missing, burned)
            break
        except NodeError:
            assert process.poll() is None, (directory / "node.log").read_text()
            assert time.monotonic() < end, "the node never answered"
            await asyncio.sleep(0.1)
    await rpc.close()


async def extend(rpc: NodeRpc, parent: tuple[str, int], count: int) -> tuple[str, int]:
    """Put so many blocks without transactions on a block, which need not be the tip; the last one and its height."""
    hash_, height = parent
    header = await rpc.header(hash_)
    bits, time_s = header.bits_number, header.time
    for _ in range(count):
        height, time_s = height + 1, time_s + 1
        script = height_push(height) + b"\x04fork"
        null = TxIn(outpoint=OutPoint(bytes(32), 0xFFFF_FFFF), script=script)
        coinbase = Transaction(inputs=(null,), outputs=(TxOut(1, b"\x51"),))
        for nonce in itertools.count():
            block = pack_header(0x2000_0000, from_display(hash_), coinbase.txid, time_s, bits, nonce)
            if sha256d(block)[-1] < 0x7F:
                break
        raw = block + b"\x01" + coinbase.encode()
        # Beside the best chain bcoin says nothing, Bitcoin Core that it is inconclusive: known, though not the tip.
        assert await rpc.submit([raw.hex().encode()]) is None
        hash_ = display(sha256d(block))
    return hash_, height
