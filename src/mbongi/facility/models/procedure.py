"""Procedures in versions that never change, their runs, and every signature given in them."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from mbongi.facility.rules.procedures import RunState
from mbongi.facility.values import VersionState


class Procedure(models.Model):
    """A procedure under its code, such as ``MOP-014``; what it says is in its versions."""

    code = models.CharField(max_length=20, unique=True)
    kind = models.CharField(max_length=3)
    title = models.CharField(max_length=160)
    added_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["code"]

    def __str__(self) -> str:
        return self.code


class ProcedureVersion(models.Model):
    """One version: a ``rules.procedures.ProcedureDocument`` that never changes, and who decided on it."""

    procedure = models.ForeignKey(Procedure, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    document = models.JSONField()
    state = models.CharField(max_length=10, default=VersionState.PROPOSED)
    reason = models.CharField(max_length=500)
    author = models.ForeignKey("identity.User", on_delete=models.PROTECT, related_name="+")
    written_at = models.DateTimeField()
    decider = models.ForeignKey("identity.User", null=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True)
    decision = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering: ClassVar = ["procedure", "-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["procedure", "number"], name="facility_version_number"),
            models.UniqueConstraint(
                fields=["procedure"], condition=Q(state="active"), name="facility_version_one_active"
            ),
            models.UniqueConstraint(
                fields=["procedure"], condition=Q(state="proposed"), name="facility_version_one_open"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.procedure_id} version {self.number}"


class ProcedureRun(models.Model):
    """One time that a version was carried out; its state is what its signatures say, kept beside them for lists."""

    version = models.ForeignKey(ProcedureVersion, on_delete=models.PROTECT, related_name="runs")
    key = models.UUIDField(unique=True)
    state = models.CharField(max_length=12, default=RunState.RUNNING)
    backing_out = models.BooleanField(default=False)
    reason = models.CharField(max_length=500)
    starter = models.ForeignKey("identity.User", on_delete=models.PROTECT, related_name="+")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-started_at"]
        indexes: ClassVar = [
            models.Index(fields=["-started_at"], name="facility_run_live", condition=Q(ended_at=None)),
        ]

    def __str__(self) -> str:
        return f"run {self.pk}"


class ProcedureEntry(models.Model):
    """A signature; never changed. ``removes``: of no step, the lock on this element was taken off."""

    run = models.ForeignKey(ProcedureRun, on_delete=models.PROTECT, related_name="entries")
    key = models.UUIDField(unique=True)
    step = models.PositiveIntegerField()
    back_out = models.BooleanField()
    outcome = models.CharField(max_length=16)
    signer = models.ForeignKey("identity.User", on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()
    value = models.FloatField(null=True)
    reference = models.CharField(max_length=60, blank=True)
    removes = models.CharField(max_length=60, blank=True)
    note = models.CharField(max_length=1000, blank=True)

    class Meta:
        ordering: ClassVar = ["run", "pk"]

    def __str__(self) -> str:
        return f"run {self.run_id} step {self.step}"
