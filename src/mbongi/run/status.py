"""Says what runs, since when, and what is wrong, as the supervisor last wrote it. Exit status 1 unless all is ready."""

import argparse

import msgspec

from mbongi.base.clock import utc_now
from mbongi.base.config import Config
from mbongi.base.status import SiteStatus, Watch, read_status

_WORDS = {True: "good", False: "not good", None: "unknown"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How to say it."""
    parser.add_argument("--json", action="store_true", help="one JSON object, as in status.json")


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:
    """Print the status."""
    status = read_status(config.site.data_dir)
    if status is None:
        print(f"{config.site.data_dir}: no site ever ran here; start it with ./mbongi up")
        return 1
    if arguments is not None and arguments.json:
        print(msgspec.json.encode(status).decode())
    else:
        print("\n".join(lines(status)))
    ready = all(process.state == "ready" for process in status.processes)
    return 0 if ready and not status.is_stale(utc_now()) else 1


def lines(status: SiteStatus) -> list[str]:
    """The status as a table; a stale one says so first, because nothing in it is certain any more."""
    age_s = (utc_now() - status.at).total_seconds()
    head = f"supervisor {status.pid}, seen {age_s:.0f} s ago"
    if status.is_stale(utc_now()):
        head = f"STALE: the supervisor has been silent for {age_s:.0f} s: everything below is unknown since then"
    rows = [head]
    for process in status.processes:
        since = f"{process.since:%Y-%m-%d %H:%M:%S} UTC"
        row = f"  {process.name:<10} {process.state:<10} since {since}  pid {process.pid or '-':<8}"
        rows.append(f"{row} restarts {process.restarts}  {process.message}".rstrip())
    return [*rows, _watch("disk", status.disk), _watch("clock", status.clock)]


def _watch(name: str, watch: Watch) -> str:
    return f"  {name:<10} {_WORDS[watch.good]:<10} since {watch.since:%Y-%m-%d %H:%M:%S} UTC  {watch.message}".rstrip()
