"""The supervisor starts processes in order, restarts what dies, and leaves nothing behind."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mbongi.base.config import Config, Site
from mbongi.run import supervisor as module
from mbongi.run.supervisor import Service, StartError, Supervisor, last_line, rotate

WAIT_S = 20.0


def python(script: str) -> tuple[str, ...]:
    return sys.executable, "-c", script


def lives(script: str = "import time; time.sleep(600)") -> tuple[str, ...]:
    return python(script)


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 -- other processes set no events
            await asyncio.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(site=Site(data_dir=tmp_path))


@contextlib.asynccontextmanager
async def supervising(config: Config, *services: Service) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(config, services, lambda: None)
    try:
        yield supervisor
    finally:
        await supervisor.stop()


async def test_a_step_returns_when_all_its_probes_say_yes(config: Config, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    script = f"import pathlib, time; time.sleep(0.3); pathlib.Path({str(flag)!r}).touch(); time.sleep(600)"

    async with supervising(config, Service("a", lives(script), lambda _config: flag.exists())) as supervisor:
        await supervisor.start(["a"])

        assert flag.exists()
        assert supervisor.processes["a"].status.state == "ready"


async def test_a_killed_process_is_started_again_and_counted(config: Config) -> None:
    async with supervising(config, Service("a", lives(), lambda _config: True)) as supervisor:
        await supervisor.start(["a"])
        process = supervisor.processes["a"]
        assert process.child is not None
        first = process.child.pid

        os.kill(first, signal.SIGKILL)
        await eventually(lambda: process.restarts == 1 and process.state == "ready")

        assert process.status.pid not in {None, first}


async def test_the_wait_before_a_restart_doubles_up_to_its_limit(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKOFF_S_MAX", 0.04)
    service = Service("a", python("raise SystemExit(3)"), lambda _config: False, start_s_max=WAIT_S)
    async with supervising(config, service) as supervisor:
        process = supervisor.processes["a"]
        process.backoff_s = 0.01

        with pytest.raises(StartError, match="died 4 times at its start"):
            await supervisor.start(["a"])

        assert process.backoff_s == 0.04
        assert "ended by itself with status 3" in process.message or process.state == "starting"


async def test_a_process_that_never_gets_ready_ends_the_start_with_its_last_words(config: Config) -> None:
    script = "import sys, time; print('waiting for the moon', file=sys.stderr, flush=True); time.sleep(600)"
    async with supervising(config, Service("a", lives(script), lambda _config: False, start_s_max=0.8)) as supervisor:
        with pytest.raises(StartError, match=r"a: not ready after 1 s: waiting for the moon; see .*a\.log"):
            await supervisor.start(["a"])


async def test_a_probe_that_says_no_later_shows_as_unready_and_recovers(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROBE_S", 0.05)
    hung = tmp_path / "hung"
    async with supervising(config, Service("a", lives(), lambda _config: not hung.exists())) as supervisor:
        await supervisor.start(["a"])
        process = supervisor.processes["a"]

        hung.touch()
        await eventually(lambda: process.state == "unready")
        hung.unlink()
        await eventually(lambda: process.state == "ready")

        assert process.restarts == 0


async def test_a_probe_that_fails_or_hangs_says_no(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(_config: Config) -> bool:
        await asyncio.sleep(600)
        return True

    def fails(_config: Config) -> bool:
        raise OSError("no")

    monkeypatch.setattr(module, "PROBE_S_MAX", 0.05)

    assert await module.probe(hangs, config) is False
    assert await module.probe(fails, config) is False


async def test_stopping_ends_every_process_the_last_started_first(config: Config, tmp_path: Path) -> None:
    record = tmp_path / "record"
    script = (
        "import pathlib, signal, sys, time\n"
        "def stop(*_):\n"
        f"    with open({str(record)!r}, 'a') as file: file.write(sys.argv[1])\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        f"pathlib.Path({str(tmp_path)!r}, sys.argv[1]).touch()\n"
        "time.sleep(600)"
    )
    services = [
        Service(name, (*lives(script), name), lambda _config, name=name: (tmp_path / name).exists()) for name in "abc"
    ]
    async with supervising(config, *services) as supervisor:
        for service in services:
            await supervisor.start([service.name])

    assert record.read_text() == "cba"


async def test_stopping_ends_a_watch_whose_probe_swallows_a_cancellation(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROBE_S_MAX", 600.0)
    monkeypatch.setattr(module, "PROBE_S", 0.01)
    monkeypatch.setattr(module, "CANCEL_S", 0.05)
    said: list[str] = []

    async def swallows(_config: Config) -> bool:
        said.append("asked")
        if len(said) > 1:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                if "swallowed" in said:
                    raise
                said.append("swallowed")
        return True

    async with asyncio.timeout(WAIT_S), supervising(config, Service("a", lives(), swallows)) as supervisor:
        await supervisor.start(["a"])
        await eventually(lambda: len(said) > 1)

    assert "swallowed" in said
    assert supervisor.processes["a"].state == "stopped"


async def test_a_process_that_will_not_stop_is_killed_with_what_it_started(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_S_MAX", 0.3)
    pids = tmp_path / "pids"
    script = (
        "import os, pathlib, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(pids)!r}).write_text(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(600)"
    )
    async with supervising(config, Service("a", lives(script), lambda _config: pids.exists())) as supervisor:
        await supervisor.start(["a"])
        await eventually(lambda: len(pids.read_text().split()) == 2)

    await eventually(lambda: not any(is_alive(int(pid)) for pid in pids.read_text().split()))


async def test_a_one_time_command_gives_its_output_or_the_reason_it_failed(config: Config) -> None:
    async with supervising(config) as supervisor:
        assert await supervisor.run_once("link", python("print('here')"), WAIT_S) == "here\n"

        with pytest.raises(StartError, match="migrate: failed: the table is gone; see"):
            await supervisor.run_once("migrate", python("raise SystemExit('the table is gone')"), WAIT_S)
        with pytest.raises(StartError, match="slow: did not end within 0 s"):
            await supervisor.run_once("slow", lives(), 0.2)


async def test_children_get_the_configuration_of_this_run(config: Config) -> None:
    script = "import os; print(os.environ['MBONGI_SITE_DATA_DIR'], os.environ['MBONGI_WEB_PORT'])"
    async with supervising(config) as supervisor:
        output = await supervisor.run_once("say", python(script), WAIT_S)

    assert output.split() == [str(config.site.data_dir), "8420"]


def test_a_log_is_cut_off_at_its_limit_and_its_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"x" * 2000)
        rotate(path, bytes_max=1000)
        writer.write(b"later\n")

    assert path.read_bytes() == b"later\n"
    assert path.with_name("a.log.1").stat().st_size == 2000
    rotate(path, bytes_max=1000)
    assert path.read_bytes() == b"later\n"


def test_the_last_words_of_a_log_are_found_and_their_absence_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    assert last_line(path) == "its log cannot be read"
    path.write_text("")
    assert last_line(path) == "it wrote nothing"
    path.write_text("first\nlast\n\n")
    assert last_line(path) == "last"


def test_a_child_stops_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    pid_path = tmp_path / "pid"
    child = f"""
import os, pathlib, time
from mbongi.run.start import stop_with_supervisor
stop_with_supervisor()
pathlib.Path({str(pid_path)!r}).write_text(str(os.getpid()))
time.sleep(600)
"""
    parent = f"""
import os, subprocess, sys, time
os.environ["MBONGI_SUPERVISOR_PID"] = str(os.getpid())
subprocess.Popen([sys.executable, "-c", {child!r}])
time.sleep(600)
"""
    environment = os.environ | {"PYTHONPATH": "src"}
    process = os.posix_spawn(sys.executable, [sys.executable, "-c", parent], environment)
    deadline_s = time.monotonic() + WAIT_S
    while not (pid_path.exists() and pid_path.read_text()) and time.monotonic() < deadline_s:
        time.sleep(0.02)

    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)

    while is_alive(int(pid_path.read_text())) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert not is_alive(int(pid_path.read_text()))


async def test_a_process_that_is_told_to_restart_comes_back_as_another(config: Config) -> None:
    async with supervising(config, Service("a", lives(), lambda _config: True)) as supervisor:
        await supervisor.start(["a"])
        process = supervisor.processes["a"]
        first = process.status.pid

        supervisor.restart("a", "it was asked for")
        await eventually(lambda: process.restarts == 1 and process.state == "ready")

        assert process.status.pid != first
