"""The list of alarms that a plant begins with, entered once, where people have none yet; they change it afterwards."""

import csv
import importlib.resources
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec
from django.db import transaction

from mbongi.core.identity.values import Permission
from mbongi.facility import alarms
from mbongi.facility.models import AlarmDefinition
from mbongi.facility.rules.alarm_limits import Document, Kind

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

REASON = "the first list of alarms"


class _Process:
    """The facility's process, where a service asks who acts."""

    actor, role, pk = "process:facility", "process", None

    def may(self, _permission: Permission) -> bool:
        """It enters what is there before anybody could."""
        return True


def _process() -> "User":
    return cast("User", _Process())


@transaction.atomic
def enter_alarms() -> int:
    """Enter the first list of alarms where people have none yet; returns how many."""
    if AlarmDefinition.objects.exclude(document__kind=Kind.INFERRED).exists():
        return 0
    return alarms.write_definitions(_process(), first_alarms(), reason=REASON)


def first_alarms() -> Sequence[tuple[str, Mapping[str, Any]]]:
    """The first list: keys and documents, from ``first_alarms.csv``."""
    text = importlib.resources.files("mbongi.facility").joinpath("first_alarms.csv").read_text(encoding="utf-8")
    return [_entry(row) for row in csv.DictReader(text.splitlines())]


def _entry(row: dict[str, str]) -> tuple[str, Mapping[str, Any]]:
    key = row.pop("key")
    values: dict[str, Any] = {name: value for name, value in row.items() if value}
    if "follows" in values:
        values["follows"] = values["follows"].split()
    return key, msgspec.to_builtins(msgspec.convert(values, Document, strict=False))
