"""Firmware images, whose signatures are trusted, and campaigns that flash them."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from mbongi.fleet.models.machine import Machine
from mbongi.fleet.models.operation import Operation


class FirmwareKey(models.Model):
    """A public key (Ed25519, as hex) whose signatures on images are trusted until it is removed."""

    name = models.CharField(max_length=60)
    public_key = models.CharField(max_length=64)
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    added_by = models.ForeignKey("identity.User", on_delete=models.PROTECT, related_name="+")
    added_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["public_key"], condition=Q(removed_at=None), name="fleet_firmware_key_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.name}"


class FirmwareImage(models.Model):
    """An image in the store: its file is named by ``sha256``. ``only_models`` empty: all of the family.

    ``version`` is what a machine states that runs it; ``signature`` is of the whole file, as hex.
    """

    sha256 = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()
    family = models.CharField(max_length=20)
    only_models = models.JSONField(default=list)
    version = models.CharField(max_length=120)
    notes = models.CharField(max_length=1000, blank=True)
    signature = models.CharField(max_length=128)
    key = models.ForeignKey(FirmwareKey, on_delete=models.PROTECT, related_name="images")
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    uploader = models.ForeignKey("identity.User", on_delete=models.PROTECT, related_name="+")
    uploaded_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-uploaded_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["sha256"], condition=Q(removed_at=None), name="fleet_firmware_image_once"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.family} {self.version}"


class Campaign(models.Model):
    """What an operation of kind campaign flashes, in which stages, and how far it is.

    ``plan`` is a ``campaign_plan.CampaignPlan``; ``verdict`` the newest of its gate; ``roll_back`` the operation that
    takes it back.
    """

    operation = models.OneToOneField(Operation, on_delete=models.PROTECT, related_name="campaign")
    image = models.ForeignKey(FirmwareImage, on_delete=models.PROTECT, related_name="campaigns")
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    plan = models.JSONField()
    stage = models.PositiveSmallIntegerField(default=0)
    phase = models.CharField(max_length=12)
    phase_at = models.DateTimeField()
    looked_at = models.DateTimeField(null=True)
    verdict = models.JSONField(null=True)
    message = models.CharField(max_length=500, blank=True)
    roll_back = models.OneToOneField(Operation, null=True, on_delete=models.PROTECT, related_name="rolls_back")

    class Meta:
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"{self.pk} operation {self.operation_id} {self.phase}"


class CampaignMachine(models.Model):
    """A machine of a campaign: its stage, what ran on it before and how it was set, and what became of it.

    ``pools`` are pairs of address and user in an order of their own; ``settings`` as ``rules.stated.stated_words``.
    """

    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="machines")
    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="+")
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    stage = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=12)
    reason = models.CharField(max_length=500, blank=True)
    previous_version = models.CharField(max_length=120, blank=True)
    pools = models.JSONField(default=list)
    settings = models.JSONField(default=dict)
    begun_at = models.DateTimeField(null=True)
    back_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["stage", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["campaign", "machine"], name="fleet_campaign_machine_once"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} machine {self.machine_id} {self.state}"


class CampaignVerdict(models.Model):
    """What decided about a stage: the gate, or (``author``) a person who went on in spite of it."""

    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="verdicts")
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    stage = models.PositiveSmallIntegerField()
    at = models.DateTimeField()
    outcome = models.CharField(max_length=10)
    findings = models.JSONField(default=list)
    author = models.ForeignKey("identity.User", null=True, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering: ClassVar = ["at", "id"]

    def __str__(self) -> str:
        return f"{self.pk} stage {self.stage} {self.outcome}"
