"""Work orders on machines, the spare parts for them, and every entry and move, of which none is ever changed."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from mbongi.fleet.models.machine import Machine
from mbongi.fleet.rules.work_orders import Outcome, WorkState


class WorkOrder(models.Model):
    """A fault of a machine, and what is done about it. ``hall``, ``rack`` and ``slot`` are where it was reported.

    The times of reporting, taking and fixing are when it happened, as far as the phones' clocks can be trusted.
    ``technician`` is who took it; ``reporter`` None where a process of the site reported it.
    """

    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="work_orders")
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    hall = models.PositiveSmallIntegerField(null=True)
    rack = models.PositiveSmallIntegerField(null=True)
    slot = models.PositiveSmallIntegerField(null=True)
    fault = models.CharField(max_length=20)
    note = models.CharField(max_length=1000, blank=True)
    state = models.CharField(max_length=10, default=WorkState.OPEN)
    reporter = models.ForeignKey("identity.User", null=True, on_delete=models.PROTECT, related_name="+")
    technician = models.ForeignKey("identity.User", null=True, on_delete=models.PROTECT, related_name="+")
    reported_at = models.DateTimeField()
    taken_at = models.DateTimeField(null=True)
    fixed_at = models.DateTimeField(null=True)
    verified_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-reported_at", "-id"]
        constraints: ClassVar = [
            # Two people who see the same fault make one order of it, however late the second one is heard.
            models.UniqueConstraint(
                fields=["machine", "fault"], condition=Q(state__in=["open", "taken"]), name="fleet_order_one_unfixed"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-reported_at", "-id"], name="fleet_order_newest"),
            models.Index(fields=["machine", "-reported_at"], name="fleet_order_machine"),
            models.Index(fields=["state"], name="fleet_order_live", condition=Q(state__in=["open", "taken", "fixed"])),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.fault} machine {self.machine_id}"


class WorkEntry(models.Model):
    """Something that somebody entered on an order. ``key`` was made by whoever entered it, so it arrives once.

    ``at`` is when it was done, ``received_at`` when the site heard of it. ``about`` is the conflict that is settled.
    """

    key = models.UUIDField(unique=True)
    order = models.ForeignKey(WorkOrder, on_delete=models.PROTECT, related_name="entries")
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=10)
    author = models.ForeignKey("identity.User", null=True, on_delete=models.PROTECT, related_name="+")
    actor = models.CharField(max_length=60)
    at = models.DateTimeField()
    received_at = models.DateTimeField()
    text = models.CharField(max_length=1000, blank=True)
    document = models.JSONField(default=dict)
    outcome = models.CharField(max_length=10, default=Outcome.APPLIED)
    clash = models.CharField(max_length=20, blank=True)
    about = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="settlements")

    class Meta:
        ordering: ClassVar = ["at", "id"]
        indexes: ClassVar = [models.Index(fields=["order", "at"], name="fleet_entry_order")]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind} order {self.order_id}"


class Part(models.Model):
    """A kind of spare part. At ``reorder_point`` pieces or fewer it is to be bought. Parts are the site's own."""

    number = models.CharField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    fits = models.CharField(max_length=200, blank=True)
    reorder_point = models.PositiveIntegerField(default=0)
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    added_at = models.DateTimeField()
    retired_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["number"]

    def __str__(self) -> str:
        return self.number


class StockMove(models.Model):
    """Pieces of a part that came (more than 0) or went. The stock is the sum of the moves."""

    key = models.UUIDField(unique=True)
    part = models.ForeignKey(Part, on_delete=models.PROTECT, related_name="moves")
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    pieces = models.IntegerField()
    kind = models.CharField(max_length=10)
    entry = models.OneToOneField(WorkEntry, null=True, on_delete=models.PROTECT, related_name="move")
    reason = models.CharField(max_length=500, blank=True)
    author = models.ForeignKey("identity.User", on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        constraints: ClassVar = [models.CheckConstraint(condition=~Q(pieces=0), name="fleet_move_not_nothing")]
        indexes: ClassVar = [models.Index(fields=["part", "-at"], name="fleet_move_part")]

    def __str__(self) -> str:
        return f"{self.pk} {self.pieces:+d} part {self.part_id}"
