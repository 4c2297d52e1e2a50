"""A full disk is stated, corrupts nothing, and is over when there is room again.

Where this user may mount, the site lies on a small memory disk that is really filled. Elsewhere the telemetry store is
told to want more room than there is: it refuses as on a full disk, without the shortage to be stated.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.running import RunningSite, until

pytestmark = pytest.mark.system

DISK_MB = 700
NEWEST = """
[(newest, rows, distinct)] = store.rows(
    "SELECT toUnixTimestamp64Milli(max(ts)), count(), uniqExact(machine_id, ts, bus_seq) FROM machine_reading"
)
answer([newest, rows, distinct])
"""
REFUSE = """
store.execute(
    "ALTER TABLE machine_reading MODIFY SETTING min_free_disk_bytes_to_perform_insert = {free_bytes}"
)
answer("altered")
"""


class SmallDisk:
    """A disk that can be filled: a memory disk, or the telemetry store's own refusal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0711", "mbongi-test", str(folder)]
        self.is_real = os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0

    def fill(self, site: RunningSite) -> None:
        if not self.is_real:
            self._refuse_below(site, 10**18)
            return
        with (self.folder / "ballast").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 20))
            except OSError:
                return

    def empty(self, site: RunningSite) -> None:
        if self.is_real:
            (self.folder / "ballast").unlink()
        else:
            self._refuse_below(site, 64_000_000)

    def _refuse_below(self, site: RunningSite, free_bytes: int) -> None:
        site.python(REFUSE.format(free_bytes=free_bytes))

    def remove(self) -> None:
        if self.is_real:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=False)


@pytest.fixture
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    folder = tmp_path_factory.mktemp("disk")
    for parent in (folder, folder.parent, folder.parent.parent):
        parent.chmod(parent.stat().st_mode | 0o011)
    small = SmallDisk(folder)
    yield small
    small.remove()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def site(disk: SmallDisk) -> Iterator[RunningSite]:
    running = RunningSite(disk.folder, machines=12)
    running.output = disk.folder.with_name("up.output")
    try:
        yield running.start()
    finally:
        running.stop()


def test_a_full_disk_is_stated_corrupts_nothing_and_is_over_when_there_is_room(
    site: RunningSite, disk: SmallDisk
) -> None:
    until(lambda: site.python(NEWEST)[0] > 0, 60, site.said)
    rows_before = site.python(NEWEST)[1]

    disk.fill(site)
    if disk.is_real:
        until(lambda: site.status.disk.good is False and "disk full" in site.status.disk.message, 30, site.said)
        assert "disk full" in site.command("status").stdout
    time.sleep(10)  # long enough for every process to meet the refusal
    disk.empty(site)

    until(site.is_ready, 120, site.said)
    room_again_ms = time.time() * 1000
    until(lambda: site.python(NEWEST)[0] > room_again_ms, 90, site.said)
    _newest, rows, distinct = site.python(NEWEST)
    assert rows == distinct
    assert rows > rows_before
    assert site.command("ledger", "verify").returncode == 0
    if disk.is_real:
        until(lambda: "disk full" not in site.status.disk.message, 30, site.said)
