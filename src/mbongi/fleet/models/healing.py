"""Healing rules, what they tried, and replays of the past. All of it is the site's own; tenants see what was tried."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from mbongi.fleet.models.machine import Machine
from mbongi.fleet.models.operation import Operation
from mbongi.fleet.models.work_order import WorkOrder
from mbongi.fleet.rules.healing import Mode, Outcome


class HealingRule(models.Model):
    """A rule as it is now: a ``rules.healing.RuleDocument``; its former versions are in the ledger.

    ``key`` names a built-in one, empty: a person's. It acts in the name of ``author``, who wrote or switched it last;
    None: nobody has yet. ``standing`` is what it held back and left alone when it was last asked.
    """

    key = models.CharField(max_length=40, blank=True)
    name = models.CharField(max_length=80, unique=True)
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    rank = models.PositiveSmallIntegerField(default=100)
    mode = models.CharField(max_length=8, default=Mode.OFF)
    version = models.PositiveIntegerField(default=1)
    document = models.JSONField()
    author = models.ForeignKey("identity.User", null=True, on_delete=models.PROTECT, related_name="+")
    changed_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True)
    standing = models.JSONField(default=dict)

    class Meta:
        ordering: ClassVar = ["rank", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["key"], condition=~Q(key=""), name="fleet_healing_built_in_once"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.name}"


class HealingAttempt(models.Model):
    """Something that a rule did about a machine, or, watched only, would have done.

    ``since`` is when the machine's condition began, ``step`` the place among the rule's steps, ``proved_at`` when the
    machine had shown by its readings that it recovered.
    """

    rule = models.ForeignKey(HealingRule, on_delete=models.PROTECT, related_name="attempts")
    version = models.PositiveIntegerField()
    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="healing")
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    cure = models.CharField(max_length=12)
    step = models.PositiveSmallIntegerField(default=0)
    is_watch = models.BooleanField(default=False)
    since = models.DateTimeField()
    operation = models.ForeignKey(Operation, null=True, on_delete=models.PROTECT, related_name="healing")
    order = models.ForeignKey(WorkOrder, null=True, on_delete=models.PROTECT, related_name="healing")
    started_at = models.DateTimeField()
    proved_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=14, default=Outcome.OPEN)
    message = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering: ClassVar = ["-started_at", "-id"]
        constraints: ClassVar = [
            # Two rules on one machine at once would undo each other, and a look that is repeated adds nothing.
            models.UniqueConstraint(
                fields=["machine"], condition=Q(outcome="open", is_watch=False), name="fleet_healing_one_open"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-started_at", "-id"], name="fleet_healing_newest"),
            models.Index(fields=["rule", "machine", "-started_at"], name="fleet_healing_pair"),
            models.Index(fields=["id"], name="fleet_healing_open", condition=Q(outcome="open")),
        ]

    def __str__(self) -> str:
        return f"{self.pk} rule {self.rule_id} machine {self.machine_id} {self.outcome}"


class HealingReplay(models.Model):
    """A replay of the past that somebody asked for: ``rules`` as they were then, and how far it is.

    ``result`` is what ``healing_replay`` made of it; ``error`` why there is none.
    """

    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    rules = models.JSONField()
    since = models.DateTimeField()
    until = models.DateTimeField()
    author = models.ForeignKey("identity.User", on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField()
    begun_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    result = models.JSONField(null=True)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering: ClassVar = ["-asked_at", "-id"]

    def __str__(self) -> str:
        return f"{self.pk} {self.since:%Y-%m-%d}"
