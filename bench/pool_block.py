"""How long after a winning share each of two nodes has the block's first bytes; a block of 3,000 transactions."""

import argparse
import asyncio
import dataclasses
import json
import statistics
import sys
import tempfile
from pathlib import Path

import uvloop

from bench._pool_node import PREVIOUS, answer
from bench._pool_server import ANY_HASH, SCRIPT
from bench.harness import report
from mbongi.pool.adapters.node_rpc import NodeAddress, NodeRpc
from mbongi.pool.daemon.blocks import Blocks
from mbongi.pool.daemon.server import Difficulty, PoolServer
from mbongi.pool.daemon.share_log import ShareLog
from mbongi.pool.ports import Node
from mbongi.pool.rules.job import Job, coinbase_of
from mbongi.pool.rules.template import template_of
from mbongi.wire import bitcoind
from mbongi.wire.bitcoin.target import TARGET_MAX
from mbongi.wire.bitcoin.transaction import TxOut
from mbongi.wire.bitcoind import BlockTemplate


class NoTips:
    """No node is asked what became of the blocks."""

    node: Node | None = None
    best_hash = ""


def main(argv: list[str] | None = None) -> int:
    """Measure; a round takes a second and more, for the pool opens its idle connections anew."""
    parser = argparse.ArgumentParser(prog="mbongi bench pool-block", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    with tempfile.TemporaryDirectory(prefix="mbongi-bench-") as folder:
        rounds = uvloop.run(_measure(Path(folder), arguments.rounds))
    first, last = [min(each) for each in rounds], [max(each) for each in rounds]
    figures = {
        "first_node_ms": statistics.median(first),
        "first_node_ms_max": max(first),
        "last_node_ms": statistics.median(last),
        "last_node_ms_max": max(last),
    }
    report("pool-block", figures, as_json=arguments.json)
    return 0


async def _measure(folder: Path, rounds: int) -> list[list[float]]:
    words = [sys.executable, "-m", "bench._pool_block_client", str(rounds)]
    pipe = asyncio.subprocess.PIPE
    client = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe)
    assert client.stdin is not None
    assert client.stdout is not None
    nodes = [NodeRpc(NodeAddress("127.0.0.1", port)) for port in json.loads(await client.stdout.readline())]
    server = PoolServer(
        ShareLog(folder / "shares"),
        on_block=lambda *found: blocks.found(*found),  # noqa: PLW0108 -- they are made below
        difficulty=Difficulty(start=ANY_HASH, minimum=ANY_HASH, maximum=ANY_HASH),
    )
    blocks = Blocks(folder / "blocks", nodes, NoTips(), now_s=server.now_s, pool_script=SCRIPT)
    body = answer(3_000).replace(PREVIOUS, b"00" * 32)
    template = dataclasses.replace(template_of(bitcoind.answer(body, BlockTemplate)), target=TARGET_MAX)
    coinbase = coinbase_of(template, [TxOut(template.value_sat, SCRIPT)], b"/Mbongi/", 1)
    server.publish(Job(1, template, coinbase, made_at_s=server.now_s()))
    for node in nodes:
        node.keep_ready()
    port = await server.listen("127.0.0.1", 0)
    client.stdin.write(f"{port}\n".encode())
    found: list[list[float]] = json.loads(await client.stdout.readline())
    await client.wait()
    server.gate.send_away("the measurement ends")
    server.log.close()
    for node in nodes:
        await node.close()
    return found


if __name__ == "__main__":
    sys.exit(main())
