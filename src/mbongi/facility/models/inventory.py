"""Places, elements, links and documents of the plant: the columns of ``values``, one row each.

``version`` counts the changes of a row, so that nobody overwrites what they have not seen.
"""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from mbongi.facility.values import TAG_MAX, TEXT_MAX, ElementStatus, RackNumbering


class Place(models.Model):
    """A site, hall, row or rack."""

    code = models.CharField(max_length=TAG_MAX, unique=True)
    kind = models.CharField(max_length=10)
    name = models.CharField(max_length=TEXT_MAX, blank=True)
    parent = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="children")
    slots = models.PositiveSmallIntegerField(null=True)
    numbering = models.CharField(max_length=5, default=RackNumbering.UNITS)
    x_m = models.FloatField(null=True)
    y_m = models.FloatField(null=True)
    width_m = models.FloatField(null=True)
    depth_m = models.FloatField(null=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering: ClassVar = ["code"]

    def __str__(self) -> str:
        return self.code


class Element(models.Model):
    """Something that the plant consists of. ``machine_id`` is the fleet's number, and no foreign key."""

    tag = models.CharField(max_length=TAG_MAX, unique=True)
    kind = models.CharField(max_length=20)
    name = models.CharField(max_length=TEXT_MAX, blank=True)
    place = models.ForeignKey(Place, null=True, on_delete=models.PROTECT, related_name="elements")
    slot = models.PositiveSmallIntegerField(null=True)
    status = models.CharField(max_length=15, default=ElementStatus.ACTIVE)
    manufacturer = models.CharField(max_length=TEXT_MAX, blank=True)
    model = models.CharField(max_length=TEXT_MAX, blank=True)
    serial = models.CharField(max_length=TEXT_MAX, blank=True)
    rated_kw = models.FloatField(null=True)
    rated_kva = models.FloatField(null=True)
    rated_a = models.FloatField(null=True)
    rated_v = models.FloatField(null=True)
    phases = models.PositiveSmallIntegerField(null=True)
    demand_kw = models.FloatField(null=True)
    power_factor = models.FloatField(null=True)
    efficiency = models.FloatField(null=True)
    capacity_kwh = models.FloatField(null=True)
    capacity_l = models.FloatField(null=True)
    capacity_m3 = models.FloatField(null=True)
    machine_id = models.BigIntegerField(null=True)
    maintenance_days = models.PositiveIntegerField(null=True)
    maintenance_last = models.DateField(null=True)
    maintenance_next = models.DateField(null=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering: ClassVar = ["tag"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["machine_id"], condition=Q(machine_id__isnull=False), name="facility_element_machine"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["kind", "tag"], name="facility_element_kind")]

    def __str__(self) -> str:
        return self.tag


class Link(models.Model):
    """What flows from one element to another."""

    tag = models.CharField(max_length=TAG_MAX, unique=True)
    source = models.ForeignKey(Element, on_delete=models.PROTECT, related_name="outputs")
    target = models.ForeignKey(Element, on_delete=models.PROTECT, related_name="inputs")
    kind = models.CharField(max_length=10)
    phases = models.CharField(max_length=6, blank=True)
    side = models.CharField(max_length=1, blank=True)
    breaker_a = models.FloatField(null=True)
    normally_open = models.BooleanField(default=False)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering: ClassVar = ["tag"]

    def __str__(self) -> str:
        return self.tag


class Document(models.Model):
    """Where a document on an element is kept, and the SHA-256 of what it was when it was entered."""

    element = models.ForeignKey(Element, on_delete=models.PROTECT, related_name="documents")
    title = models.CharField(max_length=TEXT_MAX)
    reference = models.CharField(max_length=500)
    sha256 = models.CharField(max_length=64, blank=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering: ClassVar = ["element_id", "title"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["element", "title"], name="facility_document_title"),
        ]

    def __str__(self) -> str:
        return self.title


class Submission(models.Model):
    """An inventory that was handed in for a dry run, as its rows were read: by file, with their lines."""

    source = models.CharField(max_length=200)
    author = models.ForeignKey("identity.User", on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()
    document = models.JSONField()
    entered_at = models.DateTimeField(null=True)
    entered_by = models.ForeignKey("identity.User", null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering: ClassVar = ["-pk"]

    def __str__(self) -> str:
        return self.source
