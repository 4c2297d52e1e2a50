"""A group with a profile that a second person approved, and an operation, for tests of pages and the API."""

from typing import Any

from mbongi.core.identity.models import User
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.fleet import groups, operations
from mbongi.fleet.operations import Plan, Step
from mbongi.fleet.values import ActionKind, OperationKind
from tests.web.conftest import Pilot

DOCUMENT = {"account": "acct", "pools": [{"url": "stratum+tcp://pool.example:3333", "user": "{account}.{position}"}]}


def group(user: Any, pilot: Pilot, name: str = "Hall A") -> int:
    """A group of the site's first two machines, which work for another worker than its profile says."""
    second, _made = User.objects.get_or_create(email="second@example.org", defaults={"role": Role.SITE_MANAGER})
    with acting(SITE):
        number = groups.add_group(user, name, reason="x").id
        groups.put_machines(user, number, [machine.pk for machine in pilot.machines[:2]], reason="x")
        draft = groups.write_profile(user, number, DOCUMENT, reason="x")
        groups.approve_profile(second, groups.propose_profile(user, draft.id).id, reason="x")
    return number


def move(pilot: Pilot) -> int:
    """A move into that group that somebody else asked for."""
    lead = User.objects.create(email="asks@example.org", role=Role.SHIFT_LEAD)
    number = group(lead, pilot)
    with acting(SITE):
        return groups.put_machines(lead, number, [pilot.machines[2].pk], reason="x").move_id or 0


def operation(user: Any, pilot: Pilot) -> int:
    """A planned operation over two machines."""
    steps = [Step(machine.pk, ActionKind.SLEEP) for machine in pilot.machines[:2]]
    with acting(SITE):
        return operations.plan_operation(user, Plan(OperationKind.CURTAIL, steps, "grid")).id


def number_for(path: str, user: Any, pilot: Pilot, otherwise: int) -> int:
    """The number that a route of groups or operations is asked for with."""
    if path.startswith("/groups/{id}"):
        return group(user, pilot)
    if path.startswith("/moves/{id}"):
        return move(pilot)
    return operation(user, pilot) if path.startswith("/operations/{id}") else otherwise
