"""What people wrote about the supply, the plans that were made, and who steers."""

from typing import ClassVar

from django.db import models


class SupplyVersion(models.Model):
    """One version of the site's supply (``values.Supply``). The newest that a second person approved is in force."""

    document = models.JSONField()
    author = models.ForeignKey("identity.User", on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=500)
    written_at = models.DateTimeField()
    approver = models.ForeignKey("identity.User", null=True, on_delete=models.PROTECT, related_name="+")
    approved_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["pk"]

    def __str__(self) -> str:
        return f"{self.pk} {self.written_at}"


class DispatchPlan(models.Model):
    """A try to plan a day. ``status`` is the solver's word, or why there is no plan; ``document`` the series.

    ``summary`` has the bills of the plan and of doing nothing, ``assumed`` the points that nobody measured, ``relaxed``
    what could not be kept. ``document`` is emptied once the plan is old; the rest stays.
    """

    supply = models.ForeignKey(SupplyVersion, on_delete=models.PROTECT, related_name="plans")
    starts_at = models.DateTimeField(db_index=True)
    made_at = models.DateTimeField()
    status = models.CharField(max_length=300)
    is_usable = models.BooleanField()
    gap = models.FloatField(null=True)
    build_s = models.FloatField(default=0.0)
    solve_s = models.FloatField(default=0.0)
    inputs = models.JSONField(default=dict)
    assumed = models.JSONField(default=list)
    relaxed = models.JSONField(default=list)
    summary = models.JSONField(default=dict)
    document = models.JSONField(default=dict)

    class Meta:
        ordering: ClassVar = ["pk"]

    def __str__(self) -> str:
        return f"{self.pk} {self.starts_at} {self.status}"


class DispatchState(models.Model):
    """The one row of what holds now: whether dispatch hands out targets, who steers, and where the black-out stands."""

    number = models.PositiveSmallIntegerField(primary_key=True, default=1)
    is_on = models.BooleanField(default=False)
    """Whether targets are handed to the fleet; else they are only shown."""
    why = models.CharField(max_length=12, blank=True)
    phase = models.CharField(max_length=8, blank=True)
    phase_since = models.DateTimeField(null=True)
    targets = models.JSONField(default=dict)
    told_kw = models.FloatField(null=True)
    """What the fleet was told last; None: no limit."""
    at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [models.CheckConstraint(condition=models.Q(number=1), name="energy_one_state")]

    def __str__(self) -> str:
        return f"{self.why} {self.phase}"
