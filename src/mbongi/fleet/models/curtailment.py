"""Curtailments, what triggers them, and what the site's meter said."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from mbongi.fleet.models.operation import Operation


class Trigger(models.Model):
    """What begins a curtailment by itself, once a second person has approved it. ``wish`` says what it asks for.

    ``met_since``, ``began_at`` and ``ended_at`` are what it remembers between two looks.
    """

    name = models.CharField(max_length=60)
    kind = models.CharField(max_length=10)
    condition = models.JSONField(default=dict)
    wish = models.JSONField(default=dict)
    author = models.ForeignKey("identity.User", on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=500)
    written_at = models.DateTimeField()
    approver = models.ForeignKey("identity.User", null=True, on_delete=models.PROTECT, related_name="+")
    approved_at = models.DateTimeField(null=True)
    is_on = models.BooleanField(default=False)
    """Whether it is looked at."""
    retired_at = models.DateTimeField(null=True)
    met_since = models.DateTimeField(null=True)
    began_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    message = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering: ClassVar = ["pk"]

    def __str__(self) -> str:
        return f"{self.pk} {self.name}"


class Curtailment(models.Model):
    """How a curtailment stands: all that a restarted process needs to go on with it. Powers are at the meter [W].

    ``ranking`` is a list of ``[machine, watts saved]``, whose turn comes first in front. ``phase`` is a word of
    ``values.CurtailPhase``; ``abort`` says that it ends rolled back.
    """

    operation = models.OneToOneField(Operation, primary_key=True, on_delete=models.PROTECT, related_name="curtailment")
    trigger = models.ForeignKey(Trigger, null=True, on_delete=models.PROTECT, related_name="curtailments")
    phase = models.CharField(max_length=8)
    abort = models.BooleanField(default=False)
    baseline_w = models.FloatField()
    target_w = models.FloatField()
    ramp_w_s = models.FloatField(null=True)
    ranking = models.JSONField(default=list)
    deadline_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)
    began_at = models.DateTimeField(null=True)
    reached_at = models.DateTimeField(null=True)
    wake_at = models.DateTimeField(null=True)
    wake_from_w = models.FloatField(null=True)
    power_w = models.FloatField(null=True)
    power_at = models.DateTimeField(null=True)
    saved_wh = models.FloatField(default=0.0)
    """Energy that was not used: the baseline less the power, over time."""
    added = models.PositiveIntegerField(default=0)
    """Machines added because the meter fell short."""
    tries = models.PositiveSmallIntegerField(default=0)
    """How often the waking of what did not wake was tried again."""

    def __str__(self) -> str:
        return f"{self.pk} {self.phase}"


class PowerReading(models.Model):
    """What the site's power was; ``power_w`` None where no meter could be believed, as ``trouble`` says.

    ``machines_w`` is the sum of what ``machines`` machines stated; ``source`` is ``meter``, or ``machines`` where the
    site has no meter.
    """

    at = models.DateTimeField(primary_key=True)
    power_w = models.FloatField(null=True)
    machines_w = models.FloatField(null=True)
    machines = models.PositiveIntegerField(default=0)
    frequency_hz = models.FloatField(null=True)
    source = models.CharField(max_length=8)
    trouble = models.CharField(max_length=8, blank=True)

    def __str__(self) -> str:
        return f"{self.at} {self.power_w}"


class GridSignal(models.Model):
    """The newest price or capacity that somebody told. ``value`` None: no longer limited."""

    kind = models.CharField(max_length=10, primary_key=True)
    value = models.FloatField(null=True)
    at = models.DateTimeField()
    source = models.CharField(max_length=60)
    until = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(kind__in=["price", "capacity"]), name="fleet_signal_kind")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"
