"""Machines and what happened to them."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from mbongi.fleet.models.group import Group, GroupMove
from mbongi.fleet.values import MachineState


class Machine(models.Model):
    """One mining machine, wherever it stands and whatever it answers at present.

    ``placed_at`` is when a person or an inventory said where it stands; None: its position follows its address.
    ``address`` is None for a machine whose place another one took; ``move`` is what it waits for to go into another
    group; ``tenant`` None means the site's own; ``image`` is the SHA-256 of the image that a campaign flashed, or what
    it states itself: its firmware's SHA-256, or the maker's own mark of the build.
    """

    address = models.GenericIPAddressField(unique=True, null=True)
    family = models.CharField(max_length=20)
    """A word of ``values.Family``."""
    model = models.CharField(max_length=80, blank=True)
    mac = models.CharField(max_length=17, blank=True, db_index=True)
    serial = models.CharField(max_length=80, blank=True)
    firmware = models.CharField(max_length=120, blank=True)
    image = models.CharField(max_length=64, blank=True)
    hostname = models.CharField(max_length=120, blank=True)
    hall = models.PositiveSmallIntegerField(null=True)
    rack = models.PositiveSmallIntegerField(null=True)
    slot = models.PositiveSmallIntegerField(null=True)
    placed_at = models.DateTimeField(null=True)
    group = models.ForeignKey(Group, null=True, on_delete=models.PROTECT, related_name="machines")
    move = models.ForeignKey(GroupMove, null=True, on_delete=models.SET_NULL, related_name="waiting")
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    state = models.PositiveSmallIntegerField(
        choices=[(state.value, state.word) for state in MachineState], default=MachineState.UNKNOWN
    )
    state_since = models.DateTimeField()
    state_reason = models.CharField(max_length=200, blank=True)
    last_seen_at = models.DateTimeField(null=True)
    detail = models.JSONField(default=dict)
    detail_at = models.DateTimeField(null=True)
    added_at = models.DateTimeField()
    retired_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["hall", "rack", "slot", "id"]
        indexes: ClassVar = [
            models.Index(fields=["hall", "rack", "slot", "id"], name="fleet_machine_position"),
            models.Index(fields=["state"], name="fleet_machine_state", condition=Q(retired_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.address}"


class Owned(models.Model):
    """A tenant's time as a machine's owner: from ``since`` (None: ever before) until before ``until`` (None: still).

    Noted when a machine changes owner; of one that never did, there is nothing.
    """

    machine = models.ForeignKey(Machine, on_delete=models.CASCADE, related_name="owned")
    tenant = models.ForeignKey("identity.Tenant", on_delete=models.PROTECT, related_name="+")
    since = models.DateTimeField(null=True)
    until = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["machine_id", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["machine"], condition=Q(until=None), name="fleet_owned_by_one"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} machine {self.machine_id} tenant {self.tenant_id}"


class Event(models.Model):
    """Something that happened to a machine, or a condition that lasts until ``cleared_at``."""

    machine = models.ForeignKey(Machine, on_delete=models.CASCADE, related_name="events")
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=24)
    part = models.CharField(max_length=60, blank=True)
    severity = models.CharField(max_length=8)
    at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True)
    params = models.JSONField(default=dict)

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        constraints: ClassVar = [
            # Opened once: a restarted daemon that sees the condition again cannot add it a second time.
            models.UniqueConstraint(
                fields=["machine", "kind", "part"], condition=Q(cleared_at=None), name="fleet_event_open_once"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-at", "-id"], name="fleet_event_newest"),
            models.Index(fields=["machine", "-at"], name="fleet_event_machine"),
            models.Index(fields=["-at", "-id"], name="fleet_event_open", condition=Q(cleared_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind} machine {self.machine_id}"
