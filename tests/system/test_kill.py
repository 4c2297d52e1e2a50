"""`kill -9` of any process at any time: it comes back, and nothing that was acknowledged is missing."""

import time
from typing import Any

import pytest

from tests.system.running import RunningSite, until

pytestmark = pytest.mark.system

ACCOUNT = """
from mbongi.core.identity.models import User
from mbongi.core.identity.services import accept_first_account, create_first_account_link
link = create_first_account_link()
if link:
    accept_first_account(link.rpartition("/")[2], "ada@example.org", "Ada", "a long enough pass phrase")
user = User.objects.earliest("pk")
"""
REQUEST = """
from mbongi.fleet.actions import request_action
from mbongi.fleet.selectors import machines
from mbongi.fleet.values import ActionKind
from mbongi.fleet.models import Machine
free = Machine.objects.filter(family="antminer", retired_at=None).order_by("pk")
chosen = [machine.pk for machine in free if machine.pk % 3 == {part}][:3]
rows = request_action(user, chosen, ActionKind.{kind}, reason="drill")
answer([row.id for row in rows])
"""
ENDED = """
from mbongi.fleet.selectors import action
answer([[row.status, row.message] for row in map(action, {ids})])
"""
STORED = """
rows = store.rows(
    "SELECT bus_epoch, min(bus_seq), max(bus_seq), uniqExact(bus_seq), count(), uniqExact(who, ts, bus_seq) FROM ("
    "SELECT bus_epoch, bus_seq, ts, toString(machine_id) AS who FROM machine_reading UNION ALL "
    "SELECT bus_epoch, bus_seq, ts, concat(worker, ' ', agent, ' ', toString(protocol), ' ', toString(shard)) AS who "
    "FROM pool_worker UNION ALL SELECT bus_epoch, bus_seq, ts, concat(tag, ' ', quantity) AS who FROM facility_point"
    ") GROUP BY bus_epoch"
)
[(newest,)] = store.rows("SELECT toUnixTimestamp64Milli(max(ts)) FROM machine_reading")
answer({"epochs": rows, "newest_ms": newest})
"""
EMIT = """
from django.db import transaction
from mbongi.core.bus import outbox
from mbongi.fleet.events import MachineFound
for number in range({first}, {first} + 50):
    with transaction.atomic():
        outbox.emit(MachineFound(machine_id=number, address="", family="", model="drill", tenant_id=None, at_ms=0))
answer("committed")
"""
HEARD = """
from mbongi.core.bus.client import Bus
from mbongi.core.bus.models import OutboxMessage
import msgspec
async def heard():
    bus = await Bus.open(config, name="test")
    pull = await bus.pull("EVENTS", "test-{first}", subject="event.fleet.machine_found.v1")
    found = []
    while deliveries := await pull.take(256, wait_s=2.0):
        for delivery in deliveries:
            await delivery.ack()
            message = msgspec.json.decode(delivery.data)
            if message["model"] == "drill" and {first} <= message["machine_id"] < {first} + 50:
                found.append(message["machine_id"])
    await bus.close()
    return found
answer({{"heard": asyncio.run(heard()), "waiting": OutboxMessage.objects.count()}})
"""


def stored(site: RunningSite) -> dict[str, Any]:
    return site.python(STORED)  # type: ignore[no-any-return]


def readings_flow_after(site: RunningSite, moment_s: float) -> bool:
    return int(stored(site)["newest_ms"]) > moment_s * 1000


@pytest.mark.parametrize(
    ("number", "name"),
    list(enumerate(["bus", "telemetry", "ingest", "fleet", "recorder", "web", "postgres"])),
)
def test_a_killed_process_comes_back_and_nothing_acknowledged_is_missing(
    site: RunningSite, number: int, name: str
) -> None:
    until(lambda: readings_flow_after(site, 0), 60, site.said)
    entries_before = entries(site)
    first = 1_000_000 + number * 1000
    site.python(EMIT.replace("{first}", str(first)))
    kind = ("SLEEP", "WAKE")[number % 2]
    actions = site.python(ACCOUNT + REQUEST.format(part=number // 2 % 3, kind=kind))

    site.kill(name)
    back_s = time.time()

    until(lambda: all(status in {"done", "failed"} for status, _ in ended(site, actions)), 90, site.said)
    assert {status for status, _ in ended(site, actions)} == {"done"}, ended(site, actions)
    until(lambda: readings_flow_after(site, back_s), 60, site.said)
    until(lambda: set(heard(site, first)["heard"]) == set(range(first, first + 50)), 60, site.said)
    # The two tables of the stream are filled one after the other: the newest batch of one may be ahead of the other's.
    until(lambda: all(is_whole(*epoch) for epoch in stored(site)["epochs"]), 60, lambda: str(stored(site)["epochs"]))
    for epoch, _lowest, _highest, _batches, rows, distinct in stored(site)["epochs"]:
        assert rows == distinct, f"epoch {epoch}: rows are stored twice"
    assert entries(site) >= entries_before + 2 * len(actions)


def is_whole(_epoch: int, lowest: int, highest: int, batches: int, _rows: int, _distinct: int) -> bool:
    """Whether no batch of the stream is missing."""
    return batches == highest - lowest + 1


def ended(site: RunningSite, actions: list[int]) -> list[list[str]]:
    return site.python(ENDED.format(ids=actions))  # type: ignore[no-any-return]


def heard(site: RunningSite, first: int) -> dict[str, Any]:
    """What the bus holds of the messages committed here; a new durable name each time reads from the start."""
    script = HEARD.replace("test-{first}", f"test-{first}-{time.monotonic_ns()}")
    return site.python(script.format(first=first))  # type: ignore[no-any-return]


def entries(site: RunningSite) -> int:
    """The size of the ledger, which is verified whole."""
    result = site.command("ledger", "verify")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "intact" in result.stdout
    return int(result.stdout.split()[0])


def test_the_killed_processes_did_not_take_others_with_them(site: RunningSite) -> None:
    restarts = {process.name: process.restarts for process in site.status.processes}

    # The new database server gives way, and is started again, as long as the killed one's is still ending.
    assert restarts.pop("postgres") <= 6
    assert restarts["twin"] == 0
    assert all(count <= 2 for count in restarts.values()), restarts
