"""The pool's server in a process of its own, told what to do in lines on stdin, answering in lines of JSON.

``block`` makes a new tip from a node's answer and publishes it; ``cpu`` states the process's CPU seconds, memory and
counts; ``stop`` ends it. Another process makes the node's answers, so that none of them is kept in this one's memory.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from bench._pool_node import PREVIOUS
from bench.harness import allow_files, cpu_s
from mbongi.base.collector import collect_rarely
from mbongi.pool.daemon.gate import Limits
from mbongi.pool.daemon.server import Difficulty, PoolServer
from mbongi.pool.daemon.share_log import ShareLog
from mbongi.pool.rules.job import Job, coinbase_of
from mbongi.pool.rules.template import template_of
from mbongi.run.memory import return_large_buffers
from mbongi.run.pool_identity import Identity
from mbongi.wire import bitcoind
from mbongi.wire.bitcoin.transaction import TxOut
from mbongi.wire.bitcoind import BlockTemplate
from mbongi.wire.noise.certificate import PoolAddress

ANY_HASH = 2.0**-32
"""A difficulty that all but one of 65,536 hashes meet, so that the clients need not search."""
COUNT_S = 2.0
BEGINNING_BYTES = 1_000
"""Of a node's answer; the hash of the block before stands there."""
UNLIMITED = Limits(
    connections_max=100_000,
    per_address_max=100_000,
    connects_per_s_per_address=1e9,
    bytes_per_s_max=1e9,
    bytes_per_s_per_address=1e9,
    shares_per_s_per_worker=1e9,
)
SCRIPT = bytes.fromhex("0014751e76e8199196d454941c45d1b3a323f1433bd6")


class Bench:
    """The server and its commands."""

    def __init__(self, folder: Path, task: dict[str, Any]) -> None:
        self.node = folder / "node"
        subprocess.run([sys.executable, "-m", "bench._pool_node", str(task["transactions"]), self.node], check=True)
        self.server = PoolServer(
            ShareLog(folder),
            on_block=lambda *_: None,
            difficulty=Difficulty(start=ANY_HASH, minimum=ANY_HASH, maximum=ANY_HASH),
            limits=UNLIMITED,
        )
        with self.node.open("rb") as file:
            self.previous_at = file.read(BEGINNING_BYTES).index(PREVIOUS)
        self.tips = 0

    def block(self) -> dict[str, float]:
        """From a node's bytes to jobs on their way; returns when it began, by the clock and in CPU seconds."""
        self.tips += 1
        with self.node.open("r+b") as file:
            file.seek(self.previous_at)
            file.write(b"%064x" % self.tips)
            file.seek(0)
            body = file.read()
        began_s, began_cpu_s = time.monotonic(), cpu_s()
        template = template_of(bitcoind.answer(body, BlockTemplate))
        coinbase = coinbase_of(template, [TxOut(template.value_sat, SCRIPT)], b"/Mbongi/", self.tips)
        self.server.publish(Job(self.tips, template, coinbase, made_at_s=self.server.now_s()))
        return {"began_s": began_s, "began_cpu_s": began_cpu_s}

    async def keep_counting(self) -> None:
        """Count the accepted shares as often as the pool does."""
        while True:
            await asyncio.sleep(COUNT_S)
            self.server.statistics.gather(1.0)

    def state(self) -> dict[str, float]:
        """What was used and counted so far."""
        statistics = self.server.statistics
        status = Path("/proc/self/status").read_text(encoding="ascii")
        rss_kb = int(status.partition("VmRSS:")[2].split()[0])
        return {
            "cpu_s": cpu_s(),
            "rss_mb": rss_kb / 1024,
            "accepted": statistics.accepted,
            "rejected": sum(statistics.rejected.values()),
        }


async def serve() -> None:
    """Answer commands until ``stop``."""
    task = json.loads(sys.stdin.readline())
    with tempfile.TemporaryDirectory(prefix="mbongi-bench-") as folder:
        bench = Bench(Path(folder), task)
        bench.block()
        upkeep = asyncio.gather(bench.server.run(), bench.keep_counting())
        port = await bench.server.listen("127.0.0.1", 0)
        identity = Identity(Path(folder) / "secrets")
        v2_port = await bench.server.listen_v2("127.0.0.1", 0, identity.responder)
        upstream = PoolAddress("127.0.0.1", v2_port, identity.authority_key).url()
        print(json.dumps({"port": port, "v2_port": v2_port, "upstream": upstream}), flush=True)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while (word := (await reader.readline()).strip()) not in {b"stop", b""}:
            print(json.dumps(bench.block() if word == b"block" else bench.state()), flush=True)
        upkeep.cancel()
        await asyncio.gather(upkeep, return_exceptions=True)
        bench.server.log.close()


if __name__ == "__main__":
    allow_files(25_000)
    return_large_buffers()
    collect_rarely()
    uvloop.run(serve())
