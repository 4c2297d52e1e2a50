"""The few lines that ``up`` shows: each process as it becomes ready, the link, and later only what changes."""

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from mbongi.base.clock import utc_now
from mbongi.base.status import ProcessStatus, Watch

_GREEN, _YELLOW, _RED, _BOLD, _DIM = "32", "33", "31", "1", "2"


class Screen:
    """Writes lines, coloured on a terminal unless NO_COLOR is set."""

    def __init__(self, out: TextIO | None = None) -> None:
        """``out`` is the terminal; standard output when None."""
        self._out = out or sys.stdout
        self._is_coloured = self._out.isatty() and not os.environ.get("NO_COLOR")
        self._began_at = utc_now()
        self._shown: dict[str, tuple[str, str]] = {}
        self._watched: dict[str, str] = {}

    def line(self, text: str) -> None:
        """A plain line."""
        self._write(self._paint(f"mbongi: {text}", _DIM))

    def error(self, text: str) -> None:
        """Something that ended the run."""
        print(self._paint(text, _RED), file=sys.stderr, flush=True)

    def done(self, name: str, seconds: float) -> None:
        """A step of the start."""
        self._write(f"  {self._paint('ready', _GREEN)}  {name:<10} {seconds:5.1f} s")

    def processes(self, statuses: Sequence[ProcessStatus]) -> None:
        """Show the processes whose state became ready, or stopped being so, since the last call."""
        for status in statuses:
            before = self._shown.get(status.name)
            self._shown[status.name] = (status.state, status.message)
            if before is not None and before[0] == status.state:
                continue
            if status.state == "ready":
                self.done(status.name, (status.since - self._began_at).total_seconds())
            elif status.state in {"restarting", "unready"}:
                self._write(f"  {self._paint(status.state, _YELLOW)}  {status.name}: {status.message}")

    def watches(self, **watches: Watch) -> None:
        """Show a condition of the machine once when it turns bad, and once when it is good again."""
        for name, watch in watches.items():
            if watch.message and not self._watched.get(name):
                self._write(f"  {self._paint(name, _RED)}  {watch.message}")
            elif not watch.message and self._watched.get(name):
                self._write(f"  {self._paint(name, _GREEN)}  good again")
            self._watched[name] = watch.message

    def link(self, address: str, first_link: str) -> None:
        """The one line to act on."""
        if first_link:
            self._write(
                f"\nOpen this link to make the first account (it works once):\n  {self._paint(first_link, _BOLD)}\n"
            )
        else:
            self._write(f"\nOpen {self._paint(address + '/', _BOLD)}\n")

    def _paint(self, text: str, code: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._is_coloured else text

    def _write(self, text: str) -> None:
        print(text, file=self._out, flush=True)
