"""Verifies the ledger, signs a checkpoint of it, shows entries and proves that one is in it."""

import argparse
import base64
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mbongi.base.config import Config
from mbongi.base.errors import MbongiError
from mbongi.run.database import use_database


class LedgerCommandError(MbongiError, RuntimeError):
    """The command cannot be done as asked."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    commands = parser.add_subparsers(dest="what", required=True)
    verify = commands.add_parser(
        "verify", help="find any altered, removed or reordered entry; status 1 if there is one"
    )
    verify.add_argument("--checkpoint", type=Path, action="append", default=[], metavar="FILE",
                        help="hold the ledger against checkpoints that were kept elsewhere, too")  # fmt: skip
    commands.add_parser("checkpoint", help="sign the ledger as it is and print the signed checkpoint")
    show = commands.add_parser("show", help="print the newest entries")
    show.add_argument("--subject", help="only entries on this, such as machine:17")
    show.add_argument("--limit", type=int, default=20)
    prove = commands.add_parser("prove", help="print the proof that an entry is in the ledger")
    prove.add_argument("index", type=int)


def main(config: Config, arguments: argparse.Namespace) -> int:
    """Do what was asked; 1 when verification found something."""
    use_database()
    from mbongi.core.identity.scope import SITE, acting  # noqa: PLC0415 -- Django must be set up first

    commands = {"verify": _verify, "checkpoint": _checkpoint, "show": _show, "prove": _prove}
    with acting(SITE):
        return commands[arguments.what](config, arguments)


def _verify(config: Config, arguments: argparse.Namespace) -> int:
    from mbongi.core.ledger.checkpoints import checkpoint_file, read_checkpoints, signer_of  # noqa: PLC0415
    from mbongi.core.ledger.selectors import checkpoints  # noqa: PLC0415
    from mbongi.core.ledger.verify import verify  # noqa: PLC0415

    signer = signer_of(config)
    known = checkpoints(signer) + read_checkpoints(checkpoint_file(config), signer)
    for file in arguments.checkpoint:
        if not file.is_file():
            raise LedgerCommandError(f"{file}: no such file")
        found = read_checkpoints(file, signer)
        if not found:
            raise LedgerCommandError(f"{file}: holds no checkpoint of {signer.name}")
        known += found
    console = Console(stderr=True)
    columns = (TextColumn("ledger"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("verify", total=None)
        result = verify(known, on_progress=lambda done, total: progress.update(task, completed=done, total=total))
    for problem in result.problems:
        span = f"entry {problem.first}" if problem.first == problem.last else f"entries {problem.first}-{problem.last}"
        print(f"{problem.kind}: {span}: {problem.text}")
    verdict = "intact" if result.is_intact else f"{len(result.problems)} problems"
    root = base64.b64encode(result.root).decode()
    print(f"{result.size} entries, {result.checkpoints} checkpoints, root {root}: {verdict}")
    return 0 if result.is_intact else 1


def _checkpoint(config: Config, _arguments: argparse.Namespace) -> int:
    from mbongi.core.ledger.checkpoints import Keeper, checkpoint_file, signer_of  # noqa: PLC0415

    signer = signer_of(config)
    keeper = Keeper(signer, checkpoint_file(config))
    checkpoint = keeper.sign() or keeper.former()
    if checkpoint is None:
        raise LedgerCommandError("the ledger is empty; there is nothing to sign")
    print(checkpoint.note, end="")
    print(f"\nverifier key: {signer}")
    return 0


def _show(_config: Config, arguments: argparse.Namespace) -> int:
    from mbongi.core.ledger.selectors import entries  # noqa: PLC0415

    for entry in entries(subject=arguments.subject, limit=arguments.limit):
        print(_line(entry))
    return 0


def _line(entry: Any) -> str:
    parts = [str(entry.index), entry.at.isoformat(timespec="seconds"), entry.actor, entry.action, entry.subject]
    if entry.reason:
        parts.append(repr(entry.reason))
    if entry.before_json or entry.after_json:
        parts.append(f"{entry.before_json or 'null'} -> {entry.after_json or 'null'}")
    return "  ".join(parts)


def _prove(config: Config, arguments: argparse.Namespace) -> int:
    from mbongi.core.ledger.checkpoints import Keeper, checkpoint_file, signer_of  # noqa: PLC0415
    from mbongi.core.ledger.selectors import prove  # noqa: PLC0415

    keeper = Keeper(signer_of(config), checkpoint_file(config))
    checkpoint = keeper.sign() or keeper.former()
    if checkpoint is None or not 0 <= arguments.index < checkpoint.size:
        raise LedgerCommandError(f"entry {arguments.index}: the ledger holds {checkpoint.size if checkpoint else 0}")
    leaf, path = prove(arguments.index, checkpoint.size)
    print(f"index {arguments.index}\nleaf {base64.b64encode(leaf).decode()}")
    for node in path:
        print(f"path {base64.b64encode(node).decode()}")
    print(f"\n{checkpoint.note}", end="")
    return 0
