"""Runs one benchmark of bench/ and prints its table; with --json the last line is one JSON object."""

import argparse
import importlib
import sys
from pathlib import Path

from mbongi.base.config import Config
from mbongi.base.errors import ConfigError

ROOT = Path(__file__).parents[3]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The benchmark, and what it takes itself (bench NAME --help says what)."""
    parser.add_argument("name", metavar="NAME", help=", ".join(names()))
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="...", help="the benchmark's own options; --json")


def names() -> list[str]:
    """The benchmarks there are, as written on the command line."""
    not_one = {"__init__", "harness"}
    modules = sorted(path.stem for path in (ROOT / "bench").glob("*.py"))
    return [name.replace("_", "-") for name in modules if name not in not_one and not name.startswith("_")]


def main(config: Config, arguments: argparse.Namespace) -> int:  # noqa: ARG001 -- benchmarks state their own settings
    """Run it; returns its exit status. Raises ConfigError for a name that is no benchmark."""
    if arguments.name not in names():
        raise ConfigError(f"{arguments.name}: no such benchmark; known: {', '.join(names())}")
    sys.path.insert(0, str(ROOT))
    module = importlib.import_module(f"bench.{arguments.name.replace('-', '_')}")
    result: int = module.main(arguments.words)
    return result
