"""The fleet process's watch over repaired machines, with the database away in between."""

import pytest
from django.db import OperationalError

from mbongi.base.ids import MachineId
from mbongi.fleet import work_orders
from mbongi.fleet.daemon.verifying import Verifier
from mbongi.fleet.reading import MachineReading
from mbongi.fleet.rules.recovery import Proof

PROOF = Proof(share_min=0.9, hold_s=60, gap_s=30)


class Record:
    """Stands for the database: machine 7 was repaired at the beginning."""

    def __init__(self) -> None:
        self.is_away, self.verified = False, []

    async def call(self, function, *arguments):
        if self.is_away:
            raise OperationalError("away")
        if function is work_orders.fixed_orders:
            return {} if self.verified else {MachineId(7): 0}
        assert function is work_orders.verify
        self.verified += arguments
        return [1]


def reading(at_s: int, machine_id: int = 7, rate: float = 200.0) -> MachineReading:
    return MachineReading(ts=at_s * 1000, machine_id=machine_id, hashrate_ths=rate, hashrate_nominal_ths=200.0)


async def test_a_repaired_machine_that_mines_is_verified_once() -> None:
    record = Record()
    verifier = Verifier(record, PROOF)
    await verifier.look()
    for at_s in range(10, 80, 10):
        verifier.readings([reading(at_s), reading(at_s, machine_id=8)])

    await verifier.look()
    await verifier.look()

    assert [(one.machine_id, one.since_ms, one.until_ms) for one in record.verified] == [(7, 10_000, 70_000)]


async def test_what_was_proved_while_the_database_is_away_is_written_when_it_is_back() -> None:
    record = Record()
    verifier = Verifier(record, PROOF)
    await verifier.look()
    record.is_away = True
    for at_s in range(10, 80, 10):
        verifier.readings([reading(at_s)])
    with pytest.raises(OperationalError):
        await verifier.look()
    record.is_away = False

    await verifier.look()

    assert len(record.verified) == 1


async def test_a_machine_below_its_rate_is_not_verified() -> None:
    record = Record()
    verifier = Verifier(record, PROOF)
    await verifier.look()
    for at_s in range(10, 200, 10):
        verifier.readings([reading(at_s, rate=170.0)])

    await verifier.look()

    assert record.verified == []
