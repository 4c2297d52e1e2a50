"""Jobs that miners bring: which of them the pool takes, and the server that looks at declared blocks."""

from collections.abc import Callable, Sequence
from typing import Final

from mbongi.base.config import Config
from mbongi.base.keys import stored_key
from mbongi.pool.daemon.custom_jobs import CustomJobs
from mbongi.pool.daemon.declarator import Declarator
from mbongi.pool.daemon.server import PoolServer
from mbongi.pool.ports import Node
from mbongi.pool.rules.tokens import Tokens
from mbongi.pool.terms import payout_script
from mbongi.wire.bitcoin.address import networks
from mbongi.wire.bitcoind import TemplateTransaction
from mbongi.wire.noise.secp import new_secret

KEY: Final = "pool-tokens.key"
"""In ``data_dir/secrets``: by it every process knows the tokens of every other."""


def custom_jobs_of(config: Config, server: PoolServer) -> CustomJobs | None:
    """What takes custom jobs in a process; None where the pool takes none."""
    if config.pool.declarations == "off":
        return None
    key = bytes.fromhex(stored_key(config.site.data_dir / "secrets" / KEY, new_secret().hex().encode()))
    return CustomJobs(
        Tokens(key),
        script=payout_script(config),
        halving_blocks=networks()[config.pool.network].halving_blocks,
        allows_coinbase_only=config.pool.declarations == "coinbase-only",
        current=lambda: server.current_job,
        now_s=server.now_s,
        unix_s=server.clock.unix_s,
    )


def declarator_of(
    server: PoolServer, nodes: Sequence[Node], known: Callable[[], Sequence[TemplateTransaction]]
) -> Declarator | None:
    """What looks at declared blocks, in the process that asks the nodes; None where the pool takes none."""
    return None if server.custom is None else Declarator(server, server.custom, nodes, known)
