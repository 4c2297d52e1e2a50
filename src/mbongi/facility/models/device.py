"""Devices of the plant that are asked over their protocols."""

from typing import ClassVar

from django.db import models

from mbongi.facility.values import TAG_MAX


class Device(models.Model):
    """One device as it is asked: what it measures belongs to the element whose tag it has.

    ``protocol`` is a word of ``values.Protocol``; ``selector`` and ``map_name`` are as in ``ports.DeviceTarget``.
    ``sealed`` holds both secrets, encrypted with the site's key (``device_box``); empty: none.
    """

    tag = models.CharField(max_length=TAG_MAX)
    protocol = models.CharField(max_length=20)
    host = models.CharField(max_length=253)
    port = models.PositiveIntegerField()
    selector = models.CharField(max_length=120, blank=True)
    map_name = models.CharField(max_length=60, blank=True)
    period_s = models.FloatField(default=10.0)
    timeout_s = models.FloatField(default=3.0)
    user = models.CharField(max_length=64, blank=True)
    sealed = models.TextField(blank=True)
    is_enabled = models.BooleanField(default=True)
    note = models.CharField(max_length=500, blank=True)
    added_at = models.DateTimeField()
    changed_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["tag", "protocol"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tag", "protocol"], name="facility_device_tag_protocol"),
        ]

    def __str__(self) -> str:
        return f"{self.tag} ({self.protocol})"
