"""The proxy of ``bench proxy`` in a process of its own, told what to do in lines on stdin, answering in lines of JSON.

``cpu`` states the process's CPU seconds, memory and counts; ``stop`` ends it.
"""

import asyncio
import json
import resource
import sys
from pathlib import Path

import uvloop

from bench._pool_server import ANY_HASH, UNLIMITED
from bench.harness import cpu_s
from mbongi.base.log import configure_log
from mbongi.pool.daemon.proxy.server import Options, ProxyServer
from mbongi.pool.daemon.proxy.upstreams import Upstreams
from mbongi.wire.noise.certificate import read_pool_url


def state(server: ProxyServer) -> dict[str, float]:
    """What was used and counted so far."""
    counts = server.statistics
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return {
        "cpu_s": cpu_s(),
        "rss_mb": int(status.partition("VmRSS:")[2].split()[0]) / 1024,
        "accepted": counts.accepted + counts.accepted_here,
        "rejected": counts.rejected.total() + counts.refused_by_pool.total(),
    }


async def serve() -> None:
    """Answer commands until ``stop``."""
    task = json.loads(sys.stdin.readline())
    options = Options(aggregate=task["aggregate"], difficulty_start=ANY_HASH, difficulty_min=ANY_HASH)
    server = ProxyServer(options, limits=UNLIMITED)
    tasks = [
        asyncio.create_task(server.serve("127.0.0.1", 0)),
        asyncio.create_task(Upstreams([read_pool_url(task["upstream"])], server).run()),
    ]
    async with asyncio.timeout(30):
        while not server.gate.port:  # noqa: ASYNC110 -- once, at the start
            await asyncio.sleep(0.05)
    print(json.dumps({"port": server.gate.port}), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while (await reader.readline()).strip() not in {b"stop", b""}:
        print(json.dumps(state(server)), flush=True)
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    configure_log(process="proxy", level="WARNING")
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    uvloop.run(serve())
