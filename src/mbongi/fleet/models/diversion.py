"""Work of machines that went elsewhere."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from mbongi.fleet.models.machine import Machine


class Diversion(models.Model):
    """A machine worked for a pool, or under a name, that its group's profile does not name.

    ``hashes_th`` is the work that it did there, as it states it, up to ``seen_at``; ``until`` is None while it lasts.
    ``url`` holds no user and no password.
    """

    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="diversions")
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.PROTECT, related_name="+")
    url = models.CharField(max_length=400)
    user = models.CharField(max_length=200, blank=True)
    since = models.DateTimeField()
    until = models.DateTimeField(null=True)
    seen_at = models.DateTimeField()
    hashes_th = models.FloatField(default=0.0)

    class Meta:
        ordering: ClassVar = ["-since", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["machine"], condition=Q(until=None), name="fleet_diversion_one_open"),
            models.UniqueConstraint(fields=["machine", "since"], name="fleet_diversion_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["-since", "-id"], name="fleet_diversion_newest")]

    def __str__(self) -> str:
        return f"{self.pk} machine {self.machine_id} {self.url}"
