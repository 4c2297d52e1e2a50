"""Excuses that nobody has to enter: sleeps of an agreed curtailment, and sleeps that the tenant's own people asked for.

The evidence is the operation or action itself, which is in the ledger with its author and its verification.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db.models import Count, Max

from mbongi.fleet.models import Action
from mbongi.fleet.rules.hosting import Excuse
from mbongi.fleet.rules.hosting_days import Span
from mbongi.fleet.rules.hosting_terms import ExcuseClass
from mbongi.fleet.values import ActionKind, ActionStatus, OperationKind
from mbongi.fleet.waking import SWITCHED

WAKE_S = 1800
"""A machine that is told to wake may take so long until it hashes; it counts as excused no longer than it takes."""
_FIELDS = ("pk", "machine_id", "kind", "claimed_at", "requested_at", "finished_at", "operation_id", "operation__kind",
           "author__tenant_id", "status")  # fmt: skip


def asked_sleeps(machine_ids: Sequence[int], span: Span, tenant_id: int) -> dict[int, list[Excuse]]:
    """By machine: the sleeps within ``span`` that excuse, those that began before it too."""
    since, until = (datetime.fromtimestamp(moment, UTC) for moment in span)
    done = Action.objects.filter(SWITCHED, machine_id__in=list(machine_ids), dry_run=False, finished_at__lt=until)
    former = done.filter(finished_at__lt=since).order_by("machine_id", "-finished_at", "-pk").distinct("machine_id")
    rows = [*former.values_list(*_FIELDS), *done.filter(finished_at__gte=since).values_list(*_FIELDS)]
    by_machine: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        by_machine[row[1]].append(row)
    return {machine_id: _excuses(own, span, tenant_id) for machine_id, own in by_machine.items()}


def switch_marks(machine_ids: Collection[int], until: int) -> dict[str, Any]:
    """What changes whenever a machine was put to sleep, or woken, before ``until``."""
    told = Action.objects.filter(SWITCHED, dry_run=False, finished_at__lt=datetime.fromtimestamp(until, UTC))
    own = told.filter(machine_id__in=list(machine_ids))
    return own.aggregate(count=Count("pk"), newest=Max("pk"), last=Max("finished_at"))


def _excuses(rows: list[Any], span: Span, tenant_id: int) -> list[Excuse]:
    found: list[Excuse] = []
    asleep: tuple[ExcuseClass, int, str] | None = None
    for row in sorted(rows, key=lambda one: (one[5], one[0])):
        pk, _machine, kind, claimed_at, requested_at, finished_at, operation_id, operation_kind, owner, status = row
        begun, ended = int((claimed_at or requested_at).timestamp()), int(finished_at.timestamp())
        if asleep is not None:
            klass, start, cause = asleep
            # One that was told to wake and does not is a fault from then on, whoever wanted it asleep before.
            end = begun if kind == ActionKind.SLEEP else ended if status == ActionStatus.FAILED else ended + WAKE_S
            found.append(Excuse(klass, (start, end), cause, is_sleep=True))
            asleep = None
        if kind == ActionKind.SLEEP and operation_kind == OperationKind.CURTAIL:
            asleep = ExcuseClass.CURTAILMENT, begun, f"operation:{operation_id}"
        elif kind == ActionKind.SLEEP and owner == tenant_id:
            asleep = ExcuseClass.CUSTOMER, begun, f"action:{pk}"
    if asleep is not None:
        found.append(Excuse(asleep[0], (asleep[1], span[1]), asleep[2], is_sleep=True))
    return [one for one in found if one.span[0] < span[1] and one.span[1] > span[0]]
