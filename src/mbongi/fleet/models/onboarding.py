"""From an unknown machine to one that is placed and has a password of its own."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from mbongi.fleet.models.machine import Machine


class Credential(models.Model):
    """The password of one machine, encrypted with the site's key; empty: it has the site's common one.

    The site's own, whoever owns the machine: who has the password can change its pools, so a tenant's row is not its
    tenant's to see. No tenant is named here, and row-level security shows the table to nobody but the site.
    ``pending`` is written down before a machine is told it, so that whatever happens meanwhile the machine has one of
    the two. ``pending_action`` and ``changed_action`` are the actions that these belong to.
    """

    machine = models.OneToOneField(Machine, on_delete=models.CASCADE, related_name="credential")
    sealed = models.TextField(blank=True)
    pending = models.TextField(blank=True)
    pending_action = models.BigIntegerField(null=True)
    changed_action = models.BigIntegerField(null=True)
    changed_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"machine {self.machine_id}"


class Report(models.Model):
    """What was heard last from an address whose machine told it by itself. ``claimed_…`` is what it said of itself.

    ``machine`` is who answers at the address as far as it was asked; None: nobody known, or not asked yet.
    """

    address = models.GenericIPAddressField(unique=True)
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    claimed_address = models.CharField(max_length=45)
    claimed_mac = models.CharField(max_length=17)
    machine = models.ForeignKey(Machine, null=True, on_delete=models.CASCADE, related_name="reports")
    state = models.CharField(max_length=12)
    count = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-last_at", "-id"]
        indexes: ClassVar = [models.Index(fields=["-last_at", "-id"], name="fleet_report_newest")]

    def __str__(self) -> str:
        return f"{self.address} {self.claimed_mac}"


class Walk(models.Model):
    """Where a person stands in a rack walk: the slot that the next report is offered for, since when."""

    user = models.OneToOneField("identity.User", on_delete=models.CASCADE, related_name="+")
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    hall = models.PositiveSmallIntegerField()
    rack = models.PositiveSmallIntegerField()
    slot = models.PositiveSmallIntegerField()
    step = models.SmallIntegerField(default=1)
    since = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.user_id} {self.hall}/{self.rack}/{self.slot}"


class Placement(models.Model):
    """A machine was given a position, by whom and how, and from which one; never changed but to undo it."""

    machine = models.ForeignKey(Machine, on_delete=models.CASCADE, related_name="placements")
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    author = models.ForeignKey("identity.User", on_delete=models.PROTECT, related_name="+")
    way = models.CharField(max_length=8)
    at = models.DateTimeField()
    hall = models.PositiveSmallIntegerField()
    rack = models.PositiveSmallIntegerField()
    slot = models.PositiveSmallIntegerField()
    former = models.JSONField()
    displaced = models.ForeignKey(Machine, null=True, on_delete=models.CASCADE, related_name="+")
    displaced_former = models.JSONField(null=True)
    undone_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        indexes: ClassVar = [models.Index(fields=["author", "-at"], name="fleet_placement_author")]

    def __str__(self) -> str:
        return f"{self.machine_id} {self.hall}/{self.rack}/{self.slot}"


class Listing(models.Model):
    """An inventory as it came from elsewhere, and what of it was entered. ``document`` are its devices."""

    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    source = models.CharField(max_length=200)
    author = models.ForeignKey("identity.User", on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()
    document = models.JSONField()
    applied_at = models.DateTimeField(null=True)
    applied_by = models.ForeignKey("identity.User", null=True, on_delete=models.PROTECT, related_name="+")
    outcome = models.JSONField(default=dict)

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(applied_at=None, applied_by=None) | Q(applied_at__isnull=False, applied_by__isnull=False),
                name="fleet_listing_applied_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.source}"
