"""Rows of machines for tests of services."""

from typing import Any

from mbongi.base.clock import utc_now
from mbongi.fleet.models import Machine
from mbongi.fleet.values import MachineState


def add_machines(count: int, *, state: MachineState = MachineState.MINING, **fields: Any) -> list[int]:
    """Machines of hall 20, rack 3, slots from 1 on; returns their ids."""
    now = utc_now()
    facts: dict[str, Any] = {"family": "antminer", "model": "Antminer S21", "hall": 20, "rack": 3} | fields
    rows = Machine.objects.bulk_create(
        Machine(
            address=f"10.20.{n // 250}.{n % 250 + 1}",
            slot=n + 1,
            state=state.value,
            state_since=now,
            added_at=now,
            last_seen_at=now,
            **facts,
        )
        for n in range(count)
    )
    return [row.pk for row in rows]
