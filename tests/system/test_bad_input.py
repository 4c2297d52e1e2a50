"""Malformed input from every side, on a site that really runs: a clear answer, nothing lost, nothing restarts."""

import http.client
import json
import socket
from typing import Any

import pytest

from tests.system.running import RunningSite, until

pytestmark = pytest.mark.system

TOKEN = """
from datetime import timedelta
from mbongi.base.clock import utc_now
from mbongi.core.identity.models import User
from mbongi.core.identity.services import accept_first_account, create_first_account_link, issue_token
from mbongi.core.identity.values import Permission
link = create_first_account_link()
user = accept_first_account(link.rpartition("/")[2], "ada@example.org", "Ada", "a long enough pass phrase")
answer(issue_token(user, "test", utc_now() + timedelta(days=1), list(Permission)))
"""
PUBLISH = """
from mbongi.core.bus.client import Bus
async def publish():
    bus = await Bus.open(config, name="test")
    _, before = await bus.stream_position("DEAD")
    for number, (subject, data) in enumerate({messages}):
        await bus.publish(subject, data, message_id=f"bad-{{number}}")
    await bus.close()
    return before
answer(asyncio.run(publish()))
"""
DEAD = """
from mbongi.core.bus.client import Bus
async def position():
    bus = await Bus.open(config, name="test")
    _, last = await bus.stream_position("DEAD")
    await bus.close()
    return last
answer(asyncio.run(position()))
"""
NEWEST = """
[(newest, rows)] = store.rows("SELECT toUnixTimestamp64Milli(max(ts)), count() FROM machine_reading")
answer([newest, rows])
"""
NESTED = "[" * 5000 + "]" * 5000


@pytest.fixture(scope="module")
def token(site: RunningSite) -> str:
    return str(site.python(TOKEN))


def ask(
    site: RunningSite, method: str, path: str, body: bytes | str | None = None, **headers: str
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", site.ports["WEB_PORT"], timeout=20)
    names = {name.replace("_", "-"): text for name, text in headers.items()}
    try:
        connection.request(method, path, body, {"Host": "localhost", "Content-Type": "application/json", **names})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/v1/machines/1/actions", "{", 400),
        ("POST", "/api/v1/machines/1/actions", b"\xff\xfe\x00", 400),
        ("POST", "/api/v1/machines/1/actions", NESTED, 400),
        ("POST", "/api/v1/machines/1/actions", "[]", 400),
        ("POST", "/api/v1/machines/1/actions", '{"kind": "explode", "reason": "why not"}', 400),
        ("POST", "/api/v1/machines/1/actions", '{"kind": 7, "reason": "why not"}', 400),
        ("POST", "/api/v1/machines/1/actions", '{"kind": "sleep"}', 400),
        ("POST", "/api/v1/machines/1/actions", '{"kind": "sleep", "reason": " "}', 400),
        ("POST", "/api/v1/machines/1/actions", '{"kind": "set_pools", "reason": "r", "pools": [{"url": "x"}]}', 400),
        ("POST", "/api/v1/machines/999999/actions", '{"kind": "sleep", "reason": "r"}', 404),
        ("POST", "/api/v1/machines/1/actions", b'"' + b"x" * 2_000_000 + b'"', 413),
        ("DELETE", "/api/v1/machines/1", None, 405),
        ("GET", "/api/v1/machines/0x1", None, 404),
        ("GET", "/api/v1/machines/99999999999999999999", None, 404),
        ("GET", "/api/v1/machines?limit=many", None, 400),
        ("GET", "/api/v1/machines?limit=-1", None, 400),
        ("GET", "/api/v1/machines?sort=;drop%20table", None, 400),
        ("GET", "/api/v1/events?since=yesterday", None, 400),
        ("GET", "/api/v1/nothing-here", None, 404),
    ],
)
def test_a_malformed_call_is_refused_with_a_json_problem(
    site: RunningSite, token: str, method: str, path: str, body: bytes | str | None, status: int
) -> None:
    found, problem = ask(site, method, path, body, Authorization=f"Bearer {token}")

    assert (found, problem["status"]) == (status, status), problem
    assert problem["title"]
    assert "Traceback" not in json.dumps(problem)


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer not-a-token", "Basic YWRhOmFkYQ==", "Bearer " + "x" * 5000])
def test_a_call_without_a_valid_token_is_refused(site: RunningSite, token: str, header: str) -> None:
    status, problem = ask(site, "GET", "/api/v1/machines", None, Authorization=header)

    assert status == 401, problem


def test_bytes_that_are_no_request_get_no_answer_that_harms(site: RunningSite) -> None:
    for garbage in (
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"A" * 200_000,
        b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", site.ports["WEB_PORT"]), timeout=5) as connection:
            connection.sendall(garbage)

    assert ask(site, "GET", "/api/v1/machines")[0] == 401


def test_malformed_bus_messages_are_put_aside_and_readings_go_on(site: RunningSite) -> None:
    until(lambda: site.python(NEWEST)[0] > 0, 60, site.said)
    messages = [
        ("telemetry.machine_reading.fleet", b""),
        ("telemetry.machine_reading.fleet", b"\x00" * 64),
        ("telemetry.machine_reading.fleet", b"\xff" * 10_000),
        ("telemetry.no_such_table.fleet", b"{}"),
    ]

    before = site.python(PUBLISH.format(messages=messages))

    until(lambda: site.python(DEAD) >= before + len(messages), 60, site.said)
    newest_ms, rows = site.python(NEWEST)
    until(lambda: site.python(NEWEST)[0] > newest_ms, 60, site.said)
    assert site.python(NEWEST)[1] > rows


def test_machines_that_answer_garbage_are_unknown_and_the_others_go_on(site: RunningSite, token: str) -> None:
    machines = site.virtual_machines()
    words = ["garbage", "half_reply", "hung", "slow"]
    chosen = {machine["address"]: word for machine, word in zip(machines[::6], words, strict=False)}
    for address, word in chosen.items():
        site.fault(address, word)

    def states() -> dict[str, str]:
        _status, answer = ask(site, "GET", "/api/v1/machines?limit=1000", None, Authorization=f"Bearer {token}")
        return {machine["address"]: machine["state"] for machine in answer["items"]}

    unreadable = {address for address, word in chosen.items() if word != "slow"}
    until(lambda: {address for address, state in states().items() if state == "unknown"} >= unreadable, 40, site.said)
    others = [state for address, state in states().items() if address not in chosen]
    assert set(others) == {"mining"}
    for address in chosen:
        site.fault(address, "none")
    until(lambda: set(states().values()) == {"mining"}, 90, site.said)


def test_after_all_of_it_every_process_runs_as_it_started(site: RunningSite) -> None:
    assert {process.name: process.restarts for process in site.status.processes if process.restarts} == {}
    assert site.is_ready()
    assert site.command("ledger", "verify").returncode == 0
