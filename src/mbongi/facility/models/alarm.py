"""Alarms: the rationalisation list, each alarm as it stands, the journal, notices and the rota. The site's own."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from mbongi.facility.rules.alarm_limits import Priority
from mbongi.facility.rules.alarm_state import State


class AlarmDefinition(models.Model):
    """One entry of the rationalisation list as it is now: a ``rules.alarm_limits.Document``.

    Its former versions are in the ledger. ``out_reason`` not empty: all its alarms are out of service, and why.
    """

    key = models.CharField(max_length=60, unique=True)
    document = models.JSONField()
    version = models.PositiveIntegerField(default=1)
    out_reason = models.CharField(max_length=500, blank=True)
    changed_by = models.CharField(max_length=80)
    changed_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["key"]

    def __str__(self) -> str:
        return self.key


class Alarm(models.Model):
    """One alarm at one element, from the first time that its condition was seen.

    ``active`` is the condition after its delays, ``seen`` the last reading (``rules.alarm_state.Seen``), ``pending_at``
    since when the opposite of ``active`` is seen. ``due_at`` is the next moment at which something may change by
    itself. ``announce_at``: nobody is told before; ``release_at``: a consequence whose root cleared rises by itself
    then; ``escalate_at``: the next step of the rota, number ``step``. ``stops``, ``follows`` and ``priority`` are those
    of the definition. ``raises`` counts how often it rose.
    """

    definition = models.ForeignKey(AlarmDefinition, on_delete=models.PROTECT, related_name="alarms")
    tag = models.CharField(max_length=120)
    state = models.CharField(max_length=16, default=State.NORMAL)
    active = models.BooleanField(default=False)
    seen = models.PositiveSmallIntegerField(default=0)
    seen_at = models.DateTimeField(null=True)
    value = models.FloatField(null=True)
    pending_at = models.DateTimeField(null=True)
    raised_at = models.DateTimeField(null=True)
    cleared_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(null=True)
    answered_by = models.CharField(max_length=80, blank=True)
    root = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="consequences")
    shelved_until = models.DateTimeField(null=True)
    reason = models.CharField(max_length=500, blank=True)
    announce_at = models.DateTimeField(null=True)
    release_at = models.DateTimeField(null=True)
    escalate_at = models.DateTimeField(null=True)
    step = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(null=True)
    raises = models.PositiveIntegerField(default=0)
    priority = models.CharField(max_length=8, default=Priority.LOW)
    stops = models.CharField(max_length=8, blank=True)
    follows = models.CharField(max_length=60, blank=True)

    class Meta:
        ordering: ClassVar = ["-raised_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tag", "definition"], name="facility_alarm_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["due_at"], name="facility_alarm_due", condition=Q(due_at__isnull=False)),
            models.Index(fields=["pending_at"], name="facility_alarm_wait", condition=Q(pending_at__isnull=False)),
            models.Index(fields=["escalate_at"], name="facility_alarm_step", condition=Q(escalate_at__isnull=False)),
            models.Index(fields=["id"], name="facility_alarm_active", condition=Q(active=True)),
            models.Index(fields=["-raised_at"], name="facility_alarm_shown", condition=~Q(state=State.NORMAL)),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.tag} {self.state}"


class AlarmEvent(models.Model):
    """One line of the journal; never changed, never removed. ``change`` is a ``rules.alarm_state.Change``."""

    alarm = models.ForeignKey(Alarm, on_delete=models.PROTECT, related_name="events")
    at = models.DateTimeField()
    noted_at = models.DateTimeField()
    change = models.CharField(max_length=12)
    before = models.CharField(max_length=16)
    after = models.CharField(max_length=16)
    priority = models.CharField(max_length=8)
    value = models.FloatField(null=True)
    root = models.ForeignKey(Alarm, null=True, on_delete=models.PROTECT, related_name="+")
    actor = models.CharField(max_length=80)
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["-at", "-id"], name="facility_event_newest"),
            models.Index(fields=["alarm", "-at"], name="facility_event_alarm"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.change}"


class AlarmCursor(models.Model):
    """How far a spool of observations is taken in: moved in the transaction of what was taken."""

    spool = models.CharField(max_length=40, primary_key=True)
    seq = models.BigIntegerField(default=0)
    at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.spool} {self.seq}"


class AlarmRota(models.Model):
    """Who is told: one row, a ``rules.alarm_rota.Rota``. Its former versions are in the ledger."""

    document = models.JSONField()
    version = models.PositiveIntegerField(default=1)
    changed_by = models.CharField(max_length=80)
    changed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"version {self.version}"


class AlarmNotice(models.Model):
    """One message to one person: committed before it is sent, and kept as the record of what was sent.

    ``key`` goes with it, so that a receiver can know one that came twice. ``alarms`` are ids.
    """

    key = models.UUIDField(unique=True)
    channel = models.CharField(max_length=8)
    address = models.CharField(max_length=300)
    name = models.CharField(max_length=80)
    subject = models.CharField(max_length=200)
    text = models.TextField()
    alarms = models.JSONField()
    step = models.PositiveSmallIntegerField(default=0)
    made_at = models.DateTimeField()
    next_at = models.DateTimeField(null=True)
    tries = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering: ClassVar = ["-made_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["next_at"], name="facility_notice_due", condition=Q(next_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.channel}"
