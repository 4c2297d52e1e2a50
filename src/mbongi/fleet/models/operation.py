"""Changes of many machines at once. The steps are actions."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from mbongi.fleet.models.group import Group, Profile


class Operation(models.Model):
    """A change of many machines, from its plan to its end. Everything that a restarted process needs is here.

    ``actor`` is who acts in the ledger where it is not ``author``, such as a rule that the author set up. ``is_fed``:
    more steps may come, so that it does not end by itself. ``ramp_kw`` and ``ramp_at`` are what of its ramp was left,
    and when. ``failures_now`` machines failed, ``failures_before`` of them before a person last let it go on.
    """

    kind = models.CharField(max_length=20)
    state = models.CharField(max_length=12)
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    group = models.ForeignKey(Group, null=True, on_delete=models.PROTECT, related_name="operations")
    profile = models.ForeignKey(Profile, null=True, on_delete=models.PROTECT, related_name="operations")
    limits = models.JSONField()
    document = models.JSONField(default=dict)
    reason = models.CharField(max_length=500)
    author = models.ForeignKey("identity.User", on_delete=models.PROTECT, related_name="+")
    actor = models.CharField(max_length=60)
    approver = models.ForeignKey("identity.User", null=True, on_delete=models.PROTECT, related_name="+")
    is_fed = models.BooleanField(default=False)
    planned_at = models.DateTimeField()
    approved_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    message = models.CharField(max_length=500, blank=True)
    ramp_kw = models.FloatField(default=0.0)
    ramp_at = models.DateTimeField(null=True)
    failures_now = models.PositiveIntegerField(default=0)
    failures_before = models.PositiveIntegerField(default=0)

    class Meta:
        ordering: ClassVar = ["-planned_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["-planned_at", "-id"], name="fleet_operation_newest"),
            models.Index(fields=["id"], name="fleet_operation_running", condition=Q(state="running")),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind} {self.state}"
