"""The translation proxy: miners in Stratum V1 on one side, one encrypted Stratum V2 link to a pool on the other."""

import argparse
import asyncio
import signal

import uvloop

from mbongi.base.config import Config
from mbongi.base.errors import ConfigError
from mbongi.base.log import get_log
from mbongi.pool.daemon.metrics import MetricsServer
from mbongi.pool.daemon.proxy.figures import figures_of
from mbongi.pool.daemon.proxy.server import NAME_BYTES_MAX, Options, ProxyServer
from mbongi.pool.daemon.proxy.upstreams import Upstreams
from mbongi.pool.errors import UpstreamError
from mbongi.run.connection_limits import limits_of
from mbongi.run.ports import Need, require_free
from mbongi.wire.errors import WireError
from mbongi.wire.noise.certificate import PoolAddress, read_pool_url

log = get_log(__name__)

DRAIN_S_MAX = 3.0
"""How long a proxy that is told to stop waits for the pool's answers."""
FORM = "stratum2+tcp://host:port/AUTHORITYKEY"


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:  # noqa: ARG001
    """Run until told to stop."""
    addresses = upstreams_of(config)
    proxy = config.proxy
    require_free(
        [Need(proxy.host, proxy.port, "proxy.port"), Need("127.0.0.1", proxy.metrics_port, "proxy.metrics_port")]
    )
    return uvloop.run(_run(config, addresses))


async def ready(config: Config) -> bool:
    """Whether miners can connect: there is a link to a pool."""
    try:
        async with asyncio.timeout(0.8):
            _reader, writer = await asyncio.open_connection(config.proxy.host, config.proxy.port)
            writer.transport.abort()
    except OSError:
        return False
    return True


def upstreams_of(config: Config) -> list[PoolAddress]:
    """The configured pools. Raises ConfigError, also for one without its key: whoever answers must prove who it is."""
    if not config.proxy.upstreams:
        raise ConfigError(f"proxy.upstreams: empty; expected one pool at least, as {FORM}")
    found = []
    for text in config.proxy.upstreams:
        try:
            address = read_pool_url(text)
        except WireError as error:
            raise ConfigError(f"proxy.upstreams: {error}") from error
        if address.authority_key is None:
            raise ConfigError(f"proxy.upstreams: {text!r} names no key; expected {FORM}")
        found.append(address)
    return found


def options_of(config: Config) -> Options:
    """How the proxy treats its miners. Raises ConfigError."""
    proxy = config.proxy
    if not 0 < len(proxy.user.encode()) <= NAME_BYTES_MAX:
        raise ConfigError(f"proxy.user: {proxy.user!r}; expected 1 to {NAME_BYTES_MAX} bytes")
    if proxy.difficulty_start < proxy.difficulty_min:
        raise ConfigError(f"proxy.difficulty_start: {proxy.difficulty_start}; expected proxy.difficulty_min at least")
    return Options(
        aggregate=proxy.aggregate,
        user=proxy.user,
        difficulty_start=proxy.difficulty_start,
        difficulty_min=proxy.difficulty_min,
        shares_per_minute=proxy.shares_per_minute,
        hold_s=proxy.hold_s,
    )


async def _run(config: Config, addresses: list[PoolAddress]) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server, proxy = ProxyServer(options_of(config), limits=limits_of(config.proxy)), config.proxy
    metrics = MetricsServer(lambda: figures_of(server))
    tasks = [
        asyncio.create_task(each)
        for each in (
            server.serve(proxy.host, proxy.port),
            Upstreams(addresses, server).run(),
            metrics.serve("127.0.0.1", proxy.metrics_port),
            stop.wait(),
        )
    ]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    await server.drain(DRAIN_S_MAX)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        try:
            task.result()
        except OSError as error:
            where = f"{proxy.host}:{proxy.port} and 127.0.0.1:{proxy.metrics_port}"
            raise UpstreamError(f"listening on {where}: {error}; expected free ports") from error
    return 0
