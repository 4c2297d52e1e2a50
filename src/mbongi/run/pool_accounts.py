"""Takes the pool's shares and blocks into accounts; `pool-accounts audit` adds everything up again."""

import argparse
import sys

import uvloop

from mbongi.base.config import Config
from mbongi.base.log import get_log
from mbongi.run.database import use_database
from mbongi.run.only_one import is_held, only_one
from mbongi.run.pool_nodes import nodes_of
from mbongi.run.practice import fitted
from mbongi.run.stopping import stop_event

log = get_log(__name__)

NAME = "pool-accounts"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``pool-accounts`` alone runs the process; ``pool-accounts audit`` changes nothing."""
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("audit", help="recompute balances, windows and sums; status 1 and the differences, if any")


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:
    """Run until told to stop, or audit once."""
    use_database()
    if arguments is not None and arguments.command == "audit":
        return _audit(config)
    with only_one(config.site.data_dir, NAME):
        return uvloop.run(_run(config))


def ready(config: Config) -> bool:
    """Whether the process runs and the database, where the books are, answers."""
    from mbongi.run.postgres import answers  # noqa: PLC0415 -- only the probe needs it

    return is_held(config.site.data_dir, NAME) and answers(config.postgres_url)


async def _run(config: Config) -> int:
    from mbongi.core.threads import ThreadBridge  # noqa: PLC0415 -- Django must be set up first
    from mbongi.pool.daemon.accounting import Accounting  # noqa: PLC0415

    stop, config = stop_event(), fitted(config)
    nodes = nodes_of(config)
    try:
        async with ThreadBridge() as bridge:
            await Accounting(config, bridge, nodes).run(stop)
    finally:
        for node in nodes:
            await node.close()
    log.info("pool_accounts_stopped")
    return 0


def _audit(config: Config) -> int:
    from mbongi.core.identity.scope import SITE, acting  # noqa: PLC0415 -- Django must be set up first
    from mbongi.pool.audit import audit  # noqa: PLC0415
    from mbongi.pool.windows import proof_secret  # noqa: PLC0415

    with acting(SITE):
        report = audit(proof_secret(config.site.data_dir))
    for line in report.differences:
        print(f"DIFFERS  {line}")
    for name, value in report.counts.items():
        print(f"{value:>24,}  {name}", file=sys.stderr)
    print("the books differ" if report.differences else "the books agree")
    return 1 if report.differences else 0
