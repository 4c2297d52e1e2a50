"""What people keep of a list: a filter and an order under a name."""

from typing import ClassVar

from django.db import models


class SavedView(models.Model):
    """One person's view of the list of machines; a ``shared`` one is everybody's who has the same tenant.

    ``query`` is the list's query string.
    """

    owner = models.ForeignKey("identity.User", on_delete=models.CASCADE, related_name="+")
    tenant = models.ForeignKey("identity.Tenant", null=True, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=1000, blank=True)
    shared = models.BooleanField(default=False)
    added_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["name", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["owner", "name"], name="fleet_view_name"),
        ]

    def __str__(self) -> str:
        return self.name
