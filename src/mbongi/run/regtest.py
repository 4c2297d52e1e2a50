"""A full node (bcoin) on a practice chain of its own: in memory, on loopback, without peers."""

import argparse
import asyncio
import os
import shutil
from pathlib import Path

from mbongi.base.config import Config
from mbongi.base.errors import MbongiError
from mbongi.base.keys import stored_key
from mbongi.base.log import get_log
from mbongi.pool.adapters.node_rpc import NodeAddress, NodeRpc
from mbongi.pool.adapters.practice_wallet import PracticeWallet
from mbongi.pool.errors import NodeError
from mbongi.run.start import dies_with_parent
from mbongi.run.stopping import stop_event

log = get_log(__name__)

ROOT = Path(__file__).parents[3]
PROGRAM = ROOT / "node_modules" / "bcoin" / "bin" / "node"
SEGWIT_BLOCKS = 450
"""Blocks after which the practice chain's rules include segwit. Source: bcoin, regtest deployments of 144 blocks."""
STOP_S_MAX = 10.0
BURNED_ADDRESS = "rb1qw508d6qejxtdg4y5r3zarvary0c5xw7k38f4sn"
"""Of BIP 173's example key, for tests; nobody here spends what it receives."""


class RegtestError(MbongiError, RuntimeError):
    """The practice chain's node cannot run."""


def command(*, port: int, key: str, prefix: Path) -> list[str]:
    """The node's command line. Its peer port is the RPC port's neighbour and takes no connections."""
    node = require_installed()
    options = {
        "network": "regtest",
        "memory": "true",
        "prefix": str(prefix),
        "api-key": key,
        "http-host": "127.0.0.1",
        "http-port": str(port),
        "listen": "false",
        "max-outbound": "1",
        "only": "127.0.0.1:1",
        "no-dns": "true",
        "no-wallet": "true",
        "workers": "false",
        "log-level": "error",
        "log-file": "false",
    }
    return [node, str(PROGRAM), *(f"--{name}={value}" for name, value in options.items())]


def require_installed() -> str:
    """The path of Node.js. Raises RegtestError where it or bcoin is missing."""
    node = shutil.which("node")
    if node is None:
        raise RegtestError("practice chain: node is missing; install Node.js 20 or newer, or use --no-pool")
    if not PROGRAM.is_file():
        raise RegtestError(f"practice chain: bcoin is missing in {PROGRAM.parents[1]}; run npm ci in {ROOT}")
    return node


def environment() -> dict[str, str]:
    """The node's environment: its JavaScript back ends, which need no compiler."""
    return dict(os.environ) | {"NODE_BACKEND": "js", "BCOIN_BACKEND": "js"}


def address(config: Config) -> NodeAddress:
    """Where the practice chain's node answers, with the key made for this data folder."""
    key = stored_key(config.site.data_dir / "secrets" / "regtest.key")
    return NodeAddress("127.0.0.1", config.pool.regtest_port, "mbongi", key)


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:  # noqa: ARG001
    """Run the node until told to stop."""
    return asyncio.run(_run(config))


async def ready(config: Config) -> bool:
    """Whether the node answers and its chain has segwit."""
    node = NodeRpc(address(config))
    try:
        return (await node.info()).blocks >= SEGWIT_BLOCKS
    except NodeError:
        return False
    finally:
        await node.close()


async def _run(config: Config) -> int:
    where, wallet = address(config), PracticeWallet.of(config.site.data_dir)
    prefix = config.site.data_dir / "regtest"
    prefix.mkdir(parents=True, exist_ok=True)
    words = command(port=where.port, key=where.password, prefix=prefix)
    stop = stop_event()
    # The hook runs between fork and exec; this process has one thread, so that is safe here.
    process = await asyncio.create_subprocess_exec(*words, env=environment(), preexec_fn=dies_with_parent())
    ended = asyncio.create_task(process.wait())
    stopping = asyncio.create_task(stop.wait())
    first = asyncio.create_task(_mine_first_blocks(NodeRpc(where), wallet.address))
    await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
    first.cancel()
    if ended.done():
        raise RegtestError(f"bcoin ended with {process.returncode}; its lines above say why")
    process.terminate()
    try:
        async with asyncio.timeout(STOP_S_MAX):
            await process.wait()
    except TimeoutError:
        process.kill()
    return 0


async def _mine_first_blocks(node: NodeRpc, address: str) -> None:
    """Bring the chain to where segwit is active; the practice wallet gets the coins, from which payouts begin."""
    while True:
        try:
            missing = SEGWIT_BLOCKS - (await node.info()).blocks
            if missing > 0:
                await node.call("generatetoaddress", missing, address)
            break
        except NodeError:
            await asyncio.sleep(0.2)
    log.info("practice_chain_ready")
    await node.close()
