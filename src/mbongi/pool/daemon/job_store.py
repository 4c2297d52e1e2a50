"""The newest jobs on the disk, so that shares for them count after a restart."""

from pathlib import Path
from typing import Final

from mbongi.base.log import get_log
from mbongi.pool.daemon.share_log import files_of, read_shares
from mbongi.pool.errors import JobError
from mbongi.pool.rules.job import Job
from mbongi.pool.rules.job_codec import decode_job, encode_job
from mbongi.pool.rules.share import SEEN_BYTES

log = get_log(__name__)

KEPT_MAX: Final = 8
_SUFFIX: Final = ".job"


class JobStore:
    """A folder of jobs, one file each. What cannot be written is logged once; the pool goes on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._failed = False
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def keep(self, job: Job) -> None:
        """Write a job, and remove the oldest beyond KEPT_MAX. May block; call it from a thread."""
        path = self._folder / f"{job.number:012d}{_SUFFIX}"
        draft = path.with_name(f".{path.name}")
        try:
            body = encode_job(job)
        except JobError:
            return  # the next one is there already
        try:
            draft.write_bytes(body)
            draft.replace(path)
            for old in self._files()[:-KEPT_MAX]:
                old.unlink(missing_ok=True)
        except OSError as error:
            if not self._failed:
                log.error("job_not_kept", job=job.number, error=error.strerror)  # noqa: TRY400
            self._failed = True
            return
        self._failed = False

    def newest(self, *, unix_s: float, now_s: float, age_s_max: float) -> list[Job]:
        """The jobs on the newest tip that are not too old, oldest first.

        ``unix_s`` is the record's present, ``now_s`` the same moment on the clock that jobs' ages are taken by.
        """
        found: list[Job] = []
        for path in self._files():
            try:
                age_s = unix_s - path.stat().st_mtime
                if not 0 <= age_s <= age_s_max:
                    continue
                job = decode_job(path.read_bytes())
            except (OSError, JobError) as error:
                log.warning("job_not_read", file=path.name, error=str(error))
                continue
            job.made_at_s = now_s - age_s
            found.append(job)
        return [job for job in found if job.template.previous_hash == found[-1].template.previous_hash]

    def _files(self) -> list[Path]:
        """In the order in which they were written: numbers begin again at some time."""
        return sorted(self._folder.glob(f"*{_SUFFIX}"), key=lambda path: (path.stat().st_mtime_ns, path.name))


def marks_of(folder: Path, *, since_unix_s: float) -> dict[int, set[bytes]]:
    """The shares that a log holds since then: by job number, the first bytes of their hashes."""
    marks: dict[int, set[bytes]] = {}
    for path in files_of(folder):
        if path.stat().st_mtime >= since_unix_s:
            for share, _worker in read_shares(path):
                if share.time_ms >= since_unix_s * 1000:
                    marks.setdefault(share.job, set()).add(share.hash[:SEEN_BYTES])
    return marks
