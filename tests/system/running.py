"""A whole site, started as a user starts it, on ports, addresses and a data folder of its own."""

import http.client
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mbongi.base.status import ProcessStatus, SiteStatus, read_status
from tests.embedded import free_ports

ROOT = Path(__file__).parents[2]
START_S_MAX = 150.0
STOP_S_MAX = 60.0
FAST_S = 2.0
"""How often the machines are asked: "one poll" in these tests."""
TIMEOUT_S = 2.0
PORTS = (
    "WEB_PORT",
    "POSTGRES_PORT",
    "BUS_PORT",
    "TELEMETRY_PORT",
    "TWIN_CONTROL_PORT",
    "TWIN_METER_PORT",
    "POOL_PORT",
    "POOL_V2_PORT",
    "POOL_REGTEST_PORT",
)


class RunningSite:
    """One ``./mbongi up`` and its virtual machines."""

    def __init__(self, folder: Path, *, machines: int, **settings: str) -> None:
        """``settings`` such as ``TWIN_HASH_SCALE="8"`` are added to the usual ones."""
        self.folder = folder
        self.machines = machines
        self.settings = settings
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        # 127.HALL.x.y of its own, so that several sites run beside each other.
        self.hall = 30 + os.getpid() % 200
        self.output = folder / "up.output"
        self._child: subprocess.Popen[bytes] | None = None
        self._colleague: Colleague | None = None

    @property
    def data_dir(self) -> Path:
        return self.folder / "var"

    @property
    def environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("MBONGI_", "DJANGO_"))}
        settings = {name: str(port) for name, port in self.ports.items()} | {
            "SITE_DATA_DIR": str(self.data_dir),
            "SITE_LANGUAGE": "en",
            "TWIN_NETWORK": f"127.{self.hall}.0.0/16",
            "TWIN_MACHINES": str(self.machines),
            "TWIN_TIME_SCALE": "20",
            "FLEET_FAST_S": str(FAST_S),
            "FLEET_SLOW_S": "5",
            "FLEET_TIMEOUT_S": str(TIMEOUT_S),
            "FLEET_RESCAN_S": "30",
        }
        return own | {f"MBONGI_{name}": value for name, value in (settings | self.settings).items()}

    def launch(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start ``./mbongi up`` and return at once."""
        with self.output.open("wb") as output:
            self._child = subprocess.Popen(
                [str(ROOT / "mbongi"), "up", *words],
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self._child

    def start(self) -> "RunningSite":
        """Start, and return once every process is ready and the link is printed."""
        child = self.launch()
        until(lambda: child.poll() is not None or self.is_up(), START_S_MAX, self.said)
        assert child.poll() is None, self.said()
        return self

    def stop(self) -> int:
        """Stop as Ctrl-C does; returns the exit status."""
        if self._colleague is not None:
            self._colleague.close()
            self._colleague = None
        child = self._child
        assert child is not None
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                raise
        return child.returncode

    def said(self) -> str:
        """What ``up`` printed, and the end of its processes' logs: the message of a failed assertion."""
        logs = [f"--- {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in self.logs()]
        return "\n".join([self.output.read_text(), *logs])

    def logs(self) -> list[Path]:
        return sorted((self.data_dir / "log").glob("*.log"))

    @property
    def address(self) -> str:
        return f"http://localhost:{self.ports['WEB_PORT']}"

    @property
    def first_link(self) -> str:
        """The one-time link that was printed."""
        found = re.search(r"http://\S+/start/\S+", self.output.read_text())
        assert found, self.said()
        return found[0]

    @property
    def status(self) -> SiteStatus:
        status = read_status(self.data_dir)
        assert status is not None
        return status

    def process(self, name: str) -> ProcessStatus:
        return next(process for process in self.status.processes if process.name == name)

    def is_ready(self) -> bool:
        status = read_status(self.data_dir)
        is_ours = status is not None and self._child is not None and status.pid == self._child.pid
        return status is not None and is_ours and all(process.state == "ready" for process in status.processes)

    def is_up(self) -> bool:
        return self.is_ready() and "Open " in self.output.read_text()

    def kill(self, name: str) -> None:
        """``kill -9`` one process and return once the supervisor has it back and everything is ready."""
        before = self.process(name)
        assert before.pid is not None
        os.kill(before.pid, signal.SIGKILL)
        until(lambda: self.process(name).restarts > before.restarts and self.is_ready(), 90, self.said)

    def fault(self, address: str, word: str) -> None:
        """Make a virtual machine fail, or mend it with ``none``."""
        self._control("POST", f"/machines/{address}/fault", {"fault": word})

    def virtual_machines(self) -> list[dict[str, Any]]:
        return self._control("GET", "/machines")  # type: ignore[no-any-return]

    def _control(self, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports["TWIN_CONTROL_PORT"], timeout=10)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        assert answer.status == 200, text
        return json.loads(text)

    def python(self, script: str) -> Any:
        """Run a script in the site's own configuration, Django set up and acting for the site; what it ``answer``s.

        The processes' public services are used as a colleague's program would use them, not through their pages.
        """
        if self._colleague is None:
            self._colleague = Colleague(self.environment, self.output.with_name("colleague.output"))
        return self._colleague.run(script)

    def command(self, *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run another ``./mbongi`` command against this site."""
        return subprocess.run(
            [str(ROOT / "mbongi"), *words],
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


COLLEAGUE = """
import asyncio, json, os, sys, traceback
from mbongi.base.config import load_config
from mbongi.run.database import use_database
use_database()
from django.db import connections
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.telemetry.client import Store
config = load_config()
store = Store.open(config)
with acting(SITE), os.fdopen(int(sys.argv[1]), "w") as answers:
    for line in sys.stdin:
        said = {"answer": None, "error": ""}
        def answer(value):
            said["answer"] = value
        try:
            known = {"asyncio": asyncio, "json": json, "config": config, "store": store, "answer": answer}
            exec(json.loads(line), known)
        except BaseException:
            said["error"] = traceback.format_exc()
        connections.close_all()  # the next script finds whatever is there by then
        store.close()
        print(json.dumps(said, default=str), file=answers, flush=True)
"""


class Colleague:
    """A Python process beside the site that runs one script after the other.

    Starting one for each script would cost more computing than all of the site's processes together.
    """

    def __init__(self, environment: dict[str, str], output: Path) -> None:
        answers, its_end = os.pipe()
        self._answers = os.fdopen(answers)
        self._output = output
        with output.open("wb") as file:
            self._child = subprocess.Popen(
                [sys.executable, "-c", COLLEAGUE, str(its_end)],
                env=environment | {"PYTHONPATH": str(ROOT / "src"), "DJANGO_SETTINGS_MODULE": "mbongi.settings"},
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                text=True,
                pass_fds=(its_end,),
            )
        os.close(its_end)

    def run(self, script: str) -> Any:
        """What the script ``answer``s. Fails with its traceback, and after two minutes."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(script) + "\n")
        self._child.stdin.flush()
        is_there, _, _ = select.select([self._answers], [], [], 120)
        assert is_there, f"no answer within 120 s to {script}\n{self._output.read_text()}"
        line = self._answers.readline()
        assert line, self._output.read_text()
        said = json.loads(line)
        assert not said["error"], said["error"]
        return said["answer"]

    def close(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        try:
            self._child.wait(20)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._answers.close()


def until(condition: Callable[[], object], limit_s: float, explain: Callable[[], str] = str) -> None:
    """Wait for a condition; fail with an explanation at the limit."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {limit_s:.0f} s\n{explain()}"
        time.sleep(0.1)
