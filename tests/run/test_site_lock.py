"""One supervisor per data folder; what a killed one left behind is ended."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mbongi.base.errors import ConfigError
from mbongi.run.site_lock import SITE_MARK, SiteRunsError, end_leftovers, leftovers, site_lock


def test_a_second_supervisor_is_refused_with_the_first_ones_number_and_the_cure(tmp_path: Path) -> None:
    with site_lock(tmp_path), pytest.raises(SiteRunsError) as caught, site_lock(tmp_path):
        pass

    assert f"this site runs already (process {os.getpid()})" in str(caught.value)
    assert "MBONGI_SITE_DATA_DIR" in str(caught.value)


def test_after_the_first_has_ended_the_folder_is_free_again(tmp_path: Path) -> None:
    with site_lock(tmp_path):
        pass
    with site_lock(tmp_path):
        pass


def test_the_lock_of_a_killed_supervisor_is_free(tmp_path: Path) -> None:
    script = f"""
import pathlib, time
from mbongi.run.site_lock import site_lock
with site_lock(pathlib.Path({str(tmp_path)!r})):
    print("held", flush=True)
    time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": "src"}
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(SiteRunsError), site_lock(tmp_path):
            pass
        child.kill()
        child.wait()

    with site_lock(tmp_path):
        pass


def test_a_data_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match=r"site\.data_dir: .*cannot be used"), site_lock(tmp_path / "file"):
        pass


def test_only_processes_that_carry_this_sites_mark_are_ended(tmp_path: Path) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    ours = subprocess.Popen(sleep, env=os.environ | {SITE_MARK: str(tmp_path)})
    others = subprocess.Popen(sleep, env=os.environ | {SITE_MARK: str(tmp_path) + "-other"})
    try:
        deadline_s = time.monotonic() + 10
        while not leftovers(tmp_path) and time.monotonic() < deadline_s:  # until the child has its own environment
            time.sleep(0.01)

        found = end_leftovers(tmp_path)

        assert found == [ours.pid]
        assert ours.wait(5) != 0
        assert others.poll() is None
    finally:
        for child in (ours, others):
            child.kill()
            child.wait()
