"""Locks the packages anew: requirements/*.in to hashed *.txt, package.json to package-lock.json."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from mbongi.base.config import Config
from mbongi.base.errors import MbongiError

ROOT = Path(__file__).parents[3]
UV = "pip compile --quiet --generate-hashes --no-emit-index-url --universal --python-version 3.11"


class LockError(MbongiError, RuntimeError):
    """A lock file could not be made; the old one still stands."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to lock."""
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that the .in files allow")


def main(config: Config, arguments: argparse.Namespace) -> int:  # noqa: ARG001 -- concerns the code, not a site
    """Lock dev first, then run within dev's versions, so that one environment can hold both."""
    upgrade = ["--upgrade"] if arguments.upgrade else []
    uv = str(Path(sys.executable).with_name("uv"))
    compile_ = [uv, *UV.split(), "--custom-compile-command", "./mbongi lock", *upgrade]
    _run([*compile_, "-o", "requirements/dev.txt", "requirements/dev.in"])
    _run([*compile_, "-c", "requirements/dev.txt", "-o", "requirements/run.txt", "requirements/run.in"])
    _run(["npm", "update" if arguments.upgrade else "install", "--package-lock-only", "--no-progress"])
    _drop_funding(ROOT / "package-lock.json")
    print("locked: requirements/dev.txt, requirements/run.txt, package-lock.json")
    return 0


def _drop_funding(path: Path) -> None:
    """Leave out where each package's authors take donations: a lock file of ours holds no address at all."""
    document = json.loads(path.read_text(encoding="utf-8"))
    for package in document["packages"].values():
        package.pop("funding", None)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 -- our own command lines
    except (OSError, subprocess.CalledProcessError) as error:
        raise LockError(f"{' '.join(command)}: {error}; mend that and run ./mbongi lock again") from error
