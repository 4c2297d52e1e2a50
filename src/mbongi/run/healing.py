"""Healing rules at the command line: list them, or replay the past with them; no machine is told anything."""

import argparse
import json
import os
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from mbongi.base.clock import utc_now
from mbongi.base.config import Config
from mbongi.base.errors import MbongiError
from mbongi.run.database import use_database

if TYPE_CHECKING:
    from mbongi.fleet.healing_rows import RuleRow


class HealingCommandError(MbongiError, RuntimeError):
    """The command cannot be done as asked."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    commands = parser.add_subparsers(dest="what", required=True)
    commands.add_parser("list", help="print every rule with what it did in the last 24 hours")
    replay = commands.add_parser("replay", help="show what rules would have done in a span of the past")
    replay.add_argument("rules", nargs="*", metavar="RULE", help="numbers or keys of rules; none: all that are not off")
    replay.add_argument("--hours", type=float, default=24.0, help="how far back from now (24)")
    replay.add_argument("--json", action="store_true", help="print the whole result")
    make = commands.add_parser("make", help="make a replay that a page asked for; the fleet process does this")
    make.add_argument("number", type=int)


def main(config: Config, arguments: argparse.Namespace) -> int:
    """Do what was asked."""
    use_database()
    from mbongi.core.identity.scope import SITE, acting  # noqa: PLC0415 -- Django must be set up first

    commands: dict[str, Callable[[Config, argparse.Namespace], int]] = {
        "list": _list,
        "replay": _replay,
        "make": _make,
    }
    with acting(SITE):
        return commands[arguments.what](config, arguments)


def _list(_config: Config, _arguments: argparse.Namespace) -> int:
    from mbongi.fleet import healing_rows  # noqa: PLC0415

    for row in healing_rows.rules():
        did = ", ".join(f"{count} {word}" for word, count in row.counts.items()) or "nothing"
        print(f"{row.id:>4}  {row.mode.value:<5}  {row.name:<32}  last 24 h: {did}")
    return 0


def _replay(config: Config, arguments: argparse.Namespace) -> int:
    from mbongi.core.telemetry.client import Store  # noqa: PLC0415
    from mbongi.fleet import healing_replay  # noqa: PLC0415

    chosen = _chosen(arguments.rules)
    until = utc_now()
    rules = [{"id": row.id, "name": row.name, "rank": row.rank, "document": row.as_builtins()} for row in chosen]
    store = Store.open(config, answer_s=120)
    columns = (TextColumn("replay"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("replay", total=1000)
        result = healing_replay.run(
            rules,
            until - timedelta(hours=arguments.hours),
            until,
            store,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    if arguments.json:
        print(json.dumps(result))
    else:
        _show(result, chosen)
    return 0


def _chosen(words: list[str]) -> "list[RuleRow]":
    from mbongi.fleet import healing_rows  # noqa: PLC0415
    from mbongi.fleet.rules.healing import Mode  # noqa: PLC0415

    rows = healing_rows.rules()
    if not words:
        return [row for row in rows if row.mode is not Mode.OFF]
    found = []
    for word in words:
        row = next((row for row in rows if word in {str(row.id), row.key, row.name}), None)
        if row is None:
            raise HealingCommandError(f"healing rule {word!r}: not known; `healing list` names them all")
        found.append(row)
    return found


def _show(result: dict[str, Any], rules: "list[RuleRow]") -> None:
    print(f"{result['machines']} machines, {result['rows']} rows of telemetry, {result['seconds']} s")
    for row in rules:
        did = ", ".join(f"{count} {word}" for word, count in result["counts"][str(row.id)].items()) or "nothing"
        print(f"{row.name}: {did}")
        for kept in result["kept"]:
            if kept["rule"] == row.id:
                print(f"    {kept['why']}: {kept['machines']} machines, {kept['minutes']} machine-minutes")
    print("The machines are taken to have done what they did without: how they would have answered is not known.")


def _make(config: Config, arguments: argparse.Namespace) -> int:
    from mbongi.core.telemetry.client import Store  # noqa: PLC0415
    from mbongi.fleet import healing_replay  # noqa: PLC0415

    os.nice(10)  # Polling goes first.
    healing_replay.make(arguments.number, Store.open(config, answer_s=120))
    return 0
