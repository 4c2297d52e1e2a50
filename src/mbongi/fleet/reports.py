"""What machines reported of themselves, kept per address: who answers there is asked, what they claim is only kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db import transaction
from django.db.models import F

from mbongi.fleet.models import Machine, Report

REPORTS_MAX = 5_000
"""Addresses of which reports are kept, at most; the one heard longest ago of which nothing came is forgotten."""


class ReportState(StrEnum):
    """What became of a report."""

    HEARD = "heard"
    """Who answers there is being asked."""
    IDENTIFIED = "identified"
    UNIDENTIFIED = "unidentified"
    """Nobody that we know, or no answer."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A report: where it came from, what it says, when."""

    address: str
    claimed_address: str
    claimed_mac: str
    at: datetime


@transaction.atomic
def hear(batch: Sequence[Heard]) -> list[str]:
    """Keep reports; returns the addresses of which it must be asked who answers there."""
    latest = {each.address: each for each in batch}
    machines = {row.address: row for row in Machine.objects.filter(address__in=latest, retired_at=None)}
    unknown = []
    for address, each in sorted(latest.items()):
        machine = machines.get(address)
        is_known = machine is not None and machine.mac == each.claimed_mac
        if not is_known:
            unknown.append(address)
        facts = {
            "claimed_address": each.claimed_address,
            "claimed_mac": each.claimed_mac,
            "machine": machine if is_known else None,
            "state": ReportState.IDENTIFIED if is_known else ReportState.HEARD,
            "last_at": each.at,
        }
        row, is_new = Report.objects.get_or_create(address=address, defaults=facts | {"first_at": each.at})
        if not is_new:
            Report.objects.filter(pk=row.pk).update(count=F("count") + 1, **facts)
    _forget()
    return unknown


def _forget() -> None:
    surplus = Report.objects.count() - REPORTS_MAX
    if surplus > 0:
        oldest = Report.objects.filter(machine=None).order_by("last_at", "pk")[:surplus]
        Report.objects.filter(pk__in=list(oldest.values_list("pk", flat=True))).delete()


@transaction.atomic
def looked_at(addresses: Sequence[str]) -> int:
    """Somebody has asked there: connect the reports with the machines that answered; returns how many did."""
    machines = {row.address: row for row in Machine.objects.filter(address__in=addresses, retired_at=None)}
    count = 0
    for row in Report.objects.select_for_update().filter(address__in=addresses).order_by("pk"):
        row.machine = machines.get(row.address)
        row.state = ReportState.IDENTIFIED if row.machine is not None else ReportState.UNIDENTIFIED
        count += row.machine is not None
        row.save(update_fields=["machine", "state"])
    return count
