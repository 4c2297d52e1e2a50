"""Three real poller processes and one virtual site, which remembers who asked each machine, one after the other."""

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError
from mbongi.fleet.daemon.process import FleetStatus
from mbongi.fleet.rules.leases import SLOTS
from mbongi.fleet.values import STATUS_SUBJECT
from tests.fleet.marked_fleet import source
from tests.fleet.site_bed import SOURCE, SiteBed, wait_for

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("as_site"),
]
MACHINES = 60
NUMBERS = (0, 1, 2)
LIMIT_S = 90.0
Askers = dict[str, list[dict[str, float | str]]]


class Pollers(SiteBed):
    """A site whose machines three processes share."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, machines=MACHINES, hall=19)
        fleet = dataclasses.replace(self.config.fleet, ranges=("127.25.19.0/26",), processes=len(NUMBERS))
        twin = dataclasses.replace(self.config.twin, per_rack=MACHINES, time_scale=1.0)
        self.config = dataclasses.replace(self.config, fleet=fleet, twin=twin)
        self.pollers: dict[int, subprocess.Popen[bytes]] = {}

    def __exit__(self, *error: object) -> None:
        for process in self.pollers.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(timeout=10)
        super().__exit__(*error)

    def start_poller(self, number: int) -> None:
        environment = self.environment() | {"PYTHONPATH": os.pathsep.join((str(SOURCE), str(SOURCE.parent)))}
        with (self.directory / "fleet.log").open("ab") as log:
            command = [sys.executable, "-m", "tests.fleet.marked_fleet", str(number)]
            self.pollers[number] = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, cwd=self.directory
            )

    def statuses(self) -> dict[int, FleetStatus]:
        """What each process that answers says of itself."""

        async def ask_them() -> dict[int, FleetStatus]:
            bus, found = await Bus.open(self.config, name="test"), {}
            for number in NUMBERS:
                try:
                    reply = await bus.request(f"{STATUS_SUBJECT}.{number}", b"", limit_s=1.0)
                except BusError:
                    continue
                found[number] = msgspec.json.decode(reply, type=FleetStatus)
            await bus.close()
            return found

        return asyncio.run(ask_them())

    def wait_fair(self, numbers: set[int]) -> dict[int, FleetStatus]:
        """Once these processes share all machines all but equally, and one leads."""

        def fair() -> dict[int, FleetStatus] | None:
            found = {number: status for number, status in self.statuses().items() if number in numbers}
            slots = [status.slots for status in found.values()]
            is_fair = found.keys() == numbers and sum(slots) == SLOTS and max(slots) - min(slots) <= 1
            return found if is_fair and sum(status.leads for status in found.values()) == 1 else None

        found = wait_for(fair, lambda: f"{self.statuses()}; {self.log('fleet')}", limit_s=LIMIT_S)
        assert found is not None
        return found

    def askers(self, since_s: float = 0.0) -> dict[str, list[str]]:
        """Who asked each machine since then, one after the other."""
        found: Askers = self.twin("/askers")
        return {
            address: [str(asker["source"]) for asker in each if float(asker["until_s"]) > since_s]
            for address, each in found.items()
        }

    def wait_all_asked(self, since_s: float) -> None:
        """Until every machine has been asked since then."""
        wait_for(
            lambda: all(self.askers(since_s).values()),
            lambda: f"{[a for a, by in self.askers(since_s).items() if not by]}; {self.log('fleet')}",
            limit_s=LIMIT_S,
        )


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Pollers]:
    with Pollers(tmp_path) as running:
        yield running


def changes(askers: dict[str, list[str]]) -> set[tuple[str, str]]:
    """From whom to whom machines went."""
    return {pair for each in askers.values() for pair in pairwise(each)}


def test_one_is_killed_and_one_is_stopped_and_no_machine_is_asked_by_two(bed: Pollers) -> None:
    for number in NUMBERS:
        bed.start_poller(number)
    statuses = bed.wait_fair(set(NUMBERS))
    bed.wait_known(MACHINES)
    first, second = (number for number in NUMBERS if not statuses[number].leads)

    # Killed: the others have its machines, and only those change hands.
    settled_s = time.monotonic()
    bed.wait_all_asked(settled_s)
    assert changes(bed.askers(settled_s)) == set()
    bed.pollers[first].kill()
    bed.pollers.pop(first).wait(timeout=10)
    killed_s = time.monotonic()
    bed.wait_all_asked(killed_s + 0.5)
    bed.wait_fair(set(NUMBERS) - {first})
    found = changes(bed.askers(settled_s))
    assert found
    assert {before for before, _ in found} == {source(first)}
    assert source(first) not in {after for _, after in found}

    # Started again, it is given its share; then another is stopped until the others have its machines.
    bed.start_poller(first)
    bed.wait_fair(set(NUMBERS))
    bed.pollers[second].send_signal(signal.SIGSTOP)
    stopped_s = time.monotonic()
    bed.wait_all_asked(stopped_s + 1.0)
    assert source(second) not in {each[-1] for each in bed.askers(stopped_s + 1.0).values()}

    # It goes on, asks nothing of what it lost, and is given a share anew: machines go to it, none comes from it.
    going_s = time.monotonic()
    bed.pollers[second].send_signal(signal.SIGCONT)
    bed.wait_fair(set(NUMBERS))
    settled_s = time.monotonic()
    bed.wait_all_asked(settled_s)
    assert source(second) not in {before for before, _ in changes(bed.askers(going_s))}
    assert changes(bed.askers(settled_s)) == set()
