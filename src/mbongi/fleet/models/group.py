"""Groups of machines, and the numbered versions of what their machines should be."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from mbongi.fleet.values import MoveState, ProfileState


class Group(models.Model):
    """Machines that should be alike. ``tenant`` None means the site's own; while ``paused`` no profile is applied."""

    name = models.CharField(max_length=60, unique=True)
    note = models.CharField(max_length=500, blank=True)
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    paused = models.BooleanField(default=False)
    added_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class Profile(models.Model):
    """One version of a group's profile: a ``values.Desired`` that never changes, and who decided on it."""

    group = models.ForeignKey(Group, on_delete=models.PROTECT, related_name="profiles")
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    number = models.PositiveIntegerField()
    document = models.JSONField()
    state = models.CharField(max_length=10, default=ProfileState.DRAFT)
    reason = models.CharField(max_length=500)
    author = models.ForeignKey("identity.User", on_delete=models.PROTECT, related_name="+")
    written_at = models.DateTimeField()
    decider = models.ForeignKey("identity.User", null=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True)
    decision = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering: ClassVar = ["group", "-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["group", "number"], name="fleet_profile_number"),
            models.UniqueConstraint(fields=["group"], condition=Q(state="active"), name="fleet_profile_one_active"),
            # Of two open versions, whichever became active first would be undone by the other unseen.
            models.UniqueConstraint(
                fields=["group"], condition=Q(state__in=["draft", "proposed"]), name="fleet_profile_one_open"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} group {self.group_id} version {self.number}"


class GroupMove(models.Model):
    """Machines that are to go into a group whose profile would change whom they work for, until a second person agrees.

    Those that still wait for it point at it (``Machine.move``); ``machines`` is how many were asked for.
    """

    group = models.ForeignKey(Group, on_delete=models.PROTECT, related_name="moves")
    machines = models.PositiveIntegerField()
    state = models.CharField(max_length=10, default=MoveState.AWAITING)
    author = models.ForeignKey("identity.User", on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=500)
    asked_at = models.DateTimeField()
    decider = models.ForeignKey("identity.User", null=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True)
    decision = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"{self.pk} into group {self.group_id} {self.state}"
