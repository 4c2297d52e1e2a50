"""Carrying operations on goes on whatever one look at them meets."""

from collections.abc import Callable
from typing import Any

from django.db import IntegrityError

from mbongi.fleet import pacing
from mbongi.fleet.daemon.operating import Operating
from mbongi.fleet.pacing import Advance
from mbongi.fleet.values import OperationKind


class FakeDatabase:
    """Two operations run; one of the first's machines was just asked for something by a person."""

    def __init__(self) -> None:
        self.looked_at: list[int] = []

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if function is pacing.running_operations:
            return [(1, OperationKind.RECONCILE), (2, OperationKind.RECONCILE)]
        self.looked_at.append(arguments[0])
        if arguments[0] == 1:
            raise IntegrityError("fleet_action_one_open")
        return Advance(released=1)


async def test_a_step_whose_machine_was_asked_meanwhile_is_passed_over_until_the_next_look() -> None:
    database = FakeDatabase()
    released: list[bool] = []
    operating = Operating(database, lambda: released.append(True))  # type: ignore[arg-type]

    assert await operating._look()

    assert database.looked_at == [1, 2]
    assert released == [True]
