"""Looks at the code without running it: style, types, the house's import rules, migrations, shell scripts."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mbongi.base.config import Config

ROOT = Path(__file__).parents[3]
_SCRIPTS = str(Path(sys.executable).parent)


def steps() -> list[tuple[str, list[str]]]:
    """Every look and its command line, quickest first."""
    ruff = f"{_SCRIPTS}/ruff"
    return [
        ("shell scripts", ["sh", "-n", "mbongi"]),
        ("CI script", ["bash", "-n", ".ci/run"]),
        ("ruff check", [ruff, "check"]),
        ("ruff format", [ruff, "format", "--check"]),
        ("lint-imports", [f"{_SCRIPTS}/lint-imports"]),
        ("migrations", [sys.executable, "-m", "django", "makemigrations", "--check", "--dry-run"]),
        ("mypy", [sys.executable, "-m", "mypy"]),
    ]


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:  # noqa: ARG001 -- the code's, not a site's
    """Run every look, even after one fails; returns 0 when all pass."""
    failed = []
    with tempfile.TemporaryDirectory(prefix="mbongi-check-") as folder:
        for name, command in steps():
            began_s = time.monotonic()
            result = _look(command, Path(folder))
            word = "ok" if result.returncode == 0 else "FAILED"
            print(f"{word:<6}  {name:<14} {time.monotonic() - began_s:5.1f} s", flush=True)
            if result.returncode:
                failed.append(name)
                print(result.stdout, flush=True)
    print(f"mbongi check: {'failed: ' + ', '.join(failed) if failed else 'all good'}")
    return 1 if failed else 0


def _look(command: list[str], data_dir: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MBONGI_")}
    environment |= {
        "DJANGO_SETTINGS_MODULE": "mbongi.settings",
        "MBONGI_SITE_DATA_DIR": str(data_dir),  # settings make their keys there
        "PYTHONPATH": str(ROOT / "src"),
    }
    return subprocess.run(  # noqa: S603 -- our own command lines
        command,
        cwd=ROOT,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
