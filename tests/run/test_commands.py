"""The command line: every command is listed, mistakes are one line, and nothing is loaded that is not asked for."""

import os
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from mbongi.base.clock import utc_now
from mbongi.base.config import Config, Site
from mbongi.base.status import ProcessStatus, SiteStatus, Watch, write_status
from mbongi.cli import command_names, help_text, main
from mbongi.run import status as status_command
from mbongi.run.test import closing_line, counted, overall

ROOT = Path(__file__).parents[2]


def mbongi(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MBONGI_")}
    return subprocess.run(
        [sys.executable, "-m", "mbongi.cli", *words],
        env=environment | {"PYTHONPATH": str(ROOT / "src")} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_help_lists_every_command_and_every_command_has_its_module() -> None:
    for name in command_names():
        assert f"\n  {name} " in help_text()
        assert (ROOT / "src/mbongi/run" / f"{name.replace('-', '_')}.py").is_file()


def test_a_command_that_is_not_there_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dance"]) == 2

    assert capsys.readouterr().err == "mbongi: dance: no such command; ./mbongi --help lists them all\n"


def test_a_wrong_setting_is_one_line_and_status_2() -> None:
    result = mbongi("status", MBONGI_WEB_PORT="many")

    assert result.returncode == 2
    assert result.stderr == "mbongi status: MBONGI_WEB_PORT: found 'many'; expected a whole number\n"


def test_the_help_loads_neither_django_nor_any_engine() -> None:
    script = "import sys, mbongi.cli as c; c.main(['--help']); print({'django', 'chdb', 'asyncio'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )

    assert result.stdout.splitlines()[-1] == "set()"


def test_closing_lines_of_both_parts_add_up() -> None:
    first = counted("\x1b[32m======= \x1b[1m12 passed\x1b[0m, 3 deselected, 1 warning in 4.20s =======\x1b[0m")
    second = counted("1 failed, 2 passed, 1 error in 70.01s (0:01:10)")

    assert first == Counter(passed=12, deselected=3, warning=1)
    assert closing_line(first + second, 74.214).strip("= ") == "1 failed, 14 passed, 1 error, 1 warning in 74.21s"


@pytest.mark.parametrize(
    ("statuses", "expected"), [([0, 0], 0), ([0, 5], 0), ([5, 0], 0), ([5, 5], 5), ([1, 0], 1), ([5, 2], 2)]
)
def test_one_status_for_both_parts(statuses: list[int], expected: int) -> None:
    assert overall(statuses) == expected


def site_status(state: str, age_s: float = 0) -> SiteStatus:
    at = utc_now() - timedelta(seconds=age_s)
    process = ProcessStatus(name="bus", state=state, since=at, pid=7, message="why")  # type: ignore[arg-type]
    good = Watch(good=True, since=at)
    return SiteStatus(at=at, pid=6, started_at=at, processes=(process,), disk=good, clock=Watch(good=None, since=at))


def test_the_status_says_what_runs_and_what_is_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_status(tmp_path, site_status("ready"))

    assert status_command.main(Config(site=Site(data_dir=tmp_path))) == 0

    text = capsys.readouterr().out
    assert "bus        ready" in text
    assert "disk       good" in text
    assert "clock      unknown" in text


@pytest.mark.parametrize(("state", "age_s", "says"), [("restarting", 0, "restarting"), ("ready", 60, "STALE")])
def test_the_status_of_a_site_in_trouble_or_silent_is_not_a_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], state: str, age_s: float, says: str
) -> None:
    write_status(tmp_path, site_status(state, age_s))

    assert status_command.main(Config(site=Site(data_dir=tmp_path))) == 1
    assert says in capsys.readouterr().out


def test_where_no_site_ever_ran_the_status_says_how_to_start_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_command.main(Config(site=Site(data_dir=tmp_path))) == 1
    assert "start it with ./mbongi up" in capsys.readouterr().out


def test_a_benchmark_that_is_not_there_is_one_line_with_those_that_are() -> None:
    result = mbongi("bench", "dance")

    assert result.returncode == 2
    assert result.stderr.startswith("mbongi bench: dance: no such benchmark; known: ")
