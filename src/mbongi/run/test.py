"""Runs every test: first those that are not `system`, then the system tests, and one closing line for both."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from mbongi.base.config import Config

PARTS = (("not system", 2), ("system", 3))
"""Marker expressions and how many pytest processes share each part. System tests wait for other processes most of the
time and use less than half a core each; the others are bound by their computing."""
NOTHING_COLLECTED = 5
"""Pytest's exit status when no test matched; right for one of the two parts, wrong for both."""
_CLOSING = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed|warnings?|deselected)\b")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Anything more goes to pytest."""
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="...", help="paths, -k and more, as for pytest")


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:  # noqa: ARG001 -- tests bring their own
    """Returns 0 when every test passed and there was at least one."""
    words = arguments.words if arguments is not None else []
    root = Path(__file__).parents[3]
    ensure_chromium()
    began_s = time.monotonic()
    counts: Counter[str] = Counter()
    statuses = []
    for part, workers in PARTS:
        print(f"mbongi test: {part} tests", flush=True)
        status, found = _pytest(["-m", part, "-n", str(workers), "--dist", "loadscope", *words], root)
        statuses.append(status)
        counts += found
    print(closing_line(counts, time.monotonic() - began_s), flush=True)
    return overall(statuses)


def overall(statuses: list[int]) -> int:
    """One exit status for the parts: 0 when all passed, a part without tests counting as passed beside another."""
    wrong = [status for status in statuses if status not in {0, NOTHING_COLLECTED}]
    if wrong:
        return wrong[0]
    return 0 if 0 in statuses else NOTHING_COLLECTED


def closing_line(counts: Counter[str], seconds: float) -> str:
    """The parts' results added up, in pytest's own form."""
    words = [f"{counts[word]} {word}" for word in ("failed", "passed", "skipped", "error", "warning") if counts[word]]
    return f" {', '.join(words) or 'no tests ran'} in {seconds:.2f}s ".center(80, "=")


def counted(line: str) -> Counter[str]:
    """The numbers in pytest's closing line."""
    plain = _COLOUR.sub("", line)
    return Counter({word.rstrip("s"): int(number) for number, word in _CLOSING.findall(plain)})


def _pytest(words: list[str], root: Path) -> tuple[int, Counter[str]]:
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    environment = {key: value for key, value in os.environ.items() if not _is_setting(key)}
    closing = ""
    command = [sys.executable, "-m", "pytest", *colour, *words]
    with subprocess.Popen(  # noqa: S603 -- our own command line
        command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True, encoding="utf-8", errors="replace"
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            if re.search(r" in [0-9.]+s", line) and _CLOSING.search(_COLOUR.sub("", line)):
                closing = line
    return child.returncode, counted(closing)


def _is_setting(variable: str) -> bool:
    """A site's own settings must not reach the tests, which state theirs."""
    return variable.startswith("MBONGI_") and not variable.startswith("MBONGI_TEST_")


def ensure_chromium() -> None:
    """Install Debian's Chromium where none is found, if that can be done; else the browser tests say what to do."""
    if any(shutil.which(name) for name in CHROMIUM):
        return
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return
    print("mbongi test: installing chromium for the browser tests", flush=True)
    subprocess.run([apt, "install", "-y", "-qq", "chromium"], check=False, stdout=subprocess.DEVNULL)  # noqa: S603
