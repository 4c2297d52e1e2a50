"""Writes to machines."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from mbongi.fleet.models.machine import Machine
from mbongi.fleet.models.operation import Operation
from mbongi.fleet.values import ActionStatus


class Action(models.Model):
    """A write to a machine that somebody asked for, or its rehearsal. Never holds a password.

    A step of an operation has its ``seq`` there, and ``load_w``: by how much it changes the site's load.
    """

    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="actions")
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    operation = models.ForeignKey(Operation, null=True, on_delete=models.PROTECT, related_name="steps")
    seq = models.PositiveIntegerField(null=True)
    load_w = models.FloatField(default=0.0)
    kind = models.CharField(max_length=20)
    arguments = models.JSONField(default=dict)
    reason = models.CharField(max_length=500)
    author = models.ForeignKey("identity.User", on_delete=models.PROTECT, related_name="+")
    dry_run = models.BooleanField(default=False)
    status = models.CharField(max_length=10, default=ActionStatus.REQUESTED)
    requested_at = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True)
    claims = models.PositiveSmallIntegerField(default=0)
    finished_at = models.DateTimeField(null=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    verified = models.BooleanField(null=True)
    message = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering: ClassVar = ["-requested_at", "-id"]
        constraints: ClassVar = [
            # One write at a time on a machine: two read-modify-verify cycles at once would undo each other.
            models.UniqueConstraint(
                fields=["machine"], condition=Q(status__in=["requested", "running"]), name="fleet_action_one_open"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["id"], name="fleet_action_waiting", condition=Q(status__in=["requested", "running"])),
            models.Index(fields=["operation", "status", "seq"], name="fleet_action_step"),
            models.Index(fields=["machine", "-requested_at"], name="fleet_action_machine"),
            models.Index(
                fields=["finished_at"], name="fleet_action_not_woken", condition=Q(kind="wake", status="failed")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind} machine {self.machine_id}"
