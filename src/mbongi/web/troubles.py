"""What is wrong with the site's own processes and machine, for the bar at the top of every page."""

from datetime import datetime
from pathlib import Path

from django.utils.translation import gettext as _

from mbongi.base.status import SiteStatus, Watch, read_status
from mbongi.pool.books_state import read_books_state


def troubles(data_dir: Path, now: datetime) -> list[str]:
    """One sentence each, in the reader's language; none while all is well, or where no supervisor runs."""
    status = read_status(data_dir)
    if status is None or all(process.state == "stopped" for process in status.processes):
        return []
    if status.is_stale(now):
        return [_("The site's supervisor is silent: what runs and what does not is unknown.")]
    return [*_processes(status), *_watches(status.disk, status.clock), *_books(data_dir)]


def _processes(status: SiteStatus) -> list[str]:
    names = [process.name for process in status.processes if process.state not in {"ready", "waiting", "starting"}]
    if not names:
        return []
    return [_("Not running as it should: %(names)s. It is started again by itself.") % {"names": ", ".join(names)}]


def _books(data_dir: Path) -> list[str]:
    unbooked = read_books_state(data_dir / "pool").unbooked
    if not unbooked:
        return []
    text = _(
        "Found blocks that the pool's accounts cannot book: %(count)s. Nothing is lost; they are tried again every"
        " second. The log of pool-accounts says why."
    )
    return [text % {"count": unbooked}]


def _watches(*watches: Watch) -> list[str]:
    texts = {
        "disk_full": _("The disk is full: new readings are refused until room is made."),
        "disk_low": _("Little room is left on the disk: make room, or keep readings for a shorter time."),
        "disk_silent": _("The disk does not answer; how much room is left is unknown."),
        "clock_jump": _("The clock jumped: times around the jump are doubtful."),
    }
    return [texts[watch.kind] for watch in watches if watch.kind]
