"""Takes the pool's shares and blocks into accounts, sends payouts; `pool-accounts audit` adds it all up again."""

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import uvloop

from mbongi.base.config import Config
from mbongi.base.errors import ConfigError
from mbongi.base.log import get_log
from mbongi.run import pool_books, regtest
from mbongi.run.database import use_database
from mbongi.run.only_one import is_held, only_one
from mbongi.run.pool_nodes import nodes_of
from mbongi.run.practice import fitted
from mbongi.run.stopping import stop_event

if TYPE_CHECKING:
    from mbongi.core.threads import ThreadBridge
    from mbongi.pool.adapters.node_rpc import NodeRpc
    from mbongi.pool.daemon.practice import Practice
    from mbongi.pool.terms import PayingTerms

log = get_log(__name__)

NAME = "pool-accounts"
DATABASE_S_MAX = 300.0
"""For one statement: tidying a large site's books takes minutes. Without a limit, a database that is gone without a
word would stop the accounts until somebody started them anew."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``pool-accounts`` alone runs the process."""
    pool_books.add_commands(parser)


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:
    """Run until told to stop, or do one thing."""
    use_database()
    if arguments is not None and arguments.command:
        return pool_books.run(config, arguments)
    with only_one(config.site.data_dir, NAME):
        return uvloop.run(_run(config))


def ready(config: Config) -> bool:
    """Whether the process runs and the database, where the books are, answers."""
    from mbongi.run.postgres import answers  # noqa: PLC0415 -- only the probe needs it

    return is_held(config.site.data_dir, NAME) and answers(config.postgres_url)


async def _run(config: Config) -> int:
    from mbongi.core.identity.postgresql.base import DatabaseWrapper  # noqa: PLC0415 -- Django must be set up first
    from mbongi.core.threads import ThreadBridge  # noqa: PLC0415
    from mbongi.pool.daemon.accounting import Accounting  # noqa: PLC0415

    DatabaseWrapper.answer_s_max = DATABASE_S_MAX
    stop, config = stop_event(), fitted(config)
    nodes = nodes_of(config)
    try:
        async with ThreadBridge() as bridge, _paying(config, nodes):
            await Accounting(config, bridge, nodes).run(stop)
    finally:
        for node in nodes:
            await node.close()
    log.info("pool_accounts_stopped")
    return 0


@contextlib.asynccontextmanager
async def _paying(config: Config, nodes: "Sequence[NodeRpc]") -> AsyncIterator[None]:
    """Send payouts meanwhile, with a database connection of their own; where the address cannot be spent, say so."""
    from mbongi.core.threads import ThreadBridge  # noqa: PLC0415 -- Django must be set up first
    from mbongi.pool.adapters.node_paying import paying_nodes  # noqa: PLC0415
    from mbongi.pool.daemon.paying import Paying  # noqa: PLC0415
    from mbongi.pool.terms import terms_of  # noqa: PLC0415

    try:
        terms = terms_of(config)
    except ConfigError as error:
        log.warning("payouts_off", reason=str(error))
        yield
        return
    async with ThreadBridge() as bridge:
        payer = _practice(config, terms, bridge)
        paying = Paying(bridge, paying_nodes(nodes), terms, practice=payer.step if payer else None)
        task = asyncio.create_task(paying.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _practice(config: Config, terms: "PayingTerms", bridge: "ThreadBridge") -> "Practice | None":
    """The practice chain's own payer, where it is wanted and the pool's coins are the practice wallet's."""
    from mbongi.pool.adapters.practice_wallet import PracticeWallet  # noqa: PLC0415 -- Django must be set up first
    from mbongi.pool.daemon.practice import Practice  # noqa: PLC0415

    if not terms.is_practice or not config.pool.practice_payouts:
        return None
    wallet = PracticeWallet.of(config.site.data_dir)
    if wallet.script != terms.script:
        return None
    return Practice(bridge, terms, wallet, first_blocks=regtest.SEGWIT_BLOCKS)
