"""Secrets of the site: made once, whole, and readable by their owner alone."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mbongi.base.errors import ConfigError
from mbongi.base.keys import stored_key


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "a.key"

    first = stored_key(path)

    assert len(first) >= 48
    assert stored_key(path) == first


def test_only_the_owner_reads_a_key_and_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "a.key"
    stored_key(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_processes_that_start_together_get_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "a.key"

    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _number: stored_key(path), range(64)))

    assert len(keys) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.key"]


def test_a_key_that_cannot_be_made_names_the_file_and_the_cure(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("a file where a folder should be")

    with pytest.raises(ConfigError, match=r"a\.key: cannot be read or made: .*mend its owner, mode or disk"):
        stored_key(tmp_path / "secrets" / "a.key")
