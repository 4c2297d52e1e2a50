"""Writes to the inventory: one row from a form, or whole files, all or nothing; each change is in the ledger."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.deletion import ProtectedError
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.core.bus import outbox
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.facility import models, selectors
from mbongi.facility.errors import InventoryRefusedError, NotPermittedError, UnknownElementError
from mbongi.facility.events import TAGS_MAX, InventoryChanged
from mbongi.facility.rules.inventory_changes import Change, Plan, plan
from mbongi.facility.rules.inventory_files import FILES, KEYS, Given, Row
from mbongi.facility.values import Inventory

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

REASON_MAX = 500
_PART = 2_000
_LOCK = 0x6D626F_10
"""Whoever writes the inventory holds it until the transaction ends, so that a dry run inside it stays true."""
_NOUN = {"places": "place", "elements": "element", "links": "link", "documents": "document"}
_TABLE: dict[str, Any] = {
    "places": models.Place,
    "elements": models.Element,
    "links": models.Link,
    "documents": models.Document,
}


class InventoryFaultyError(InventoryRefusedError):
    """Rows that cannot be entered; ``plan`` names every problem."""

    def __init__(self, found: Plan) -> None:
        first = found.problems[0]
        super().__init__(
            f"inventory: {len(found.problems)} problems; first: {first.file}:{first.line} {first.field}: {first.code}",
            _("Nothing was entered: the inventory has faults."),
        )
        self.plan = found


@transaction.atomic
def enter(user: "User", given: Mapping[str, Sequence[Given]], *, reason: str) -> Plan:
    """Add and change rows by file, all of them or none; returns what was changed.

    Raises NotPermittedError, InventoryRefusedError without a reason, InventoryFaultyError.
    """
    reason = _reason(user, reason)
    _lock()
    return _enter(user, selectors.inventory(), given, reason)


@transaction.atomic
def write(user: "User", file: str, values: Mapping[str, Any], *, version: int | None, reason: str) -> Plan:
    """Add one row (``version`` None) or change the one whose form was made at ``version``.

    Raises NotPermittedError, UnknownElementError, InventoryFaultyError, or InventoryRefusedError: no reason, or
    somebody else changed the row in the meantime.
    """
    reason = _reason(user, reason)
    _lock()
    given = Given(line=0, values=dict(values))
    key = given.key(file)
    found = _row(file, key).values_list("version", flat=True).first()
    if version is None and found is not None:
        raise InventoryRefusedError(f"{file} {key}: known already", _("There is one of this name already."))
    if version is not None and found is None:
        raise UnknownElementError(f"{file} {key}: not known")
    if version is not None and found is not None and found != version:
        raise _overtaken(file, key, version, found)
    return _enter(user, _around(file, values), {file: [given]}, reason)


@transaction.atomic
def remove(user: "User", file: str, key: Sequence[str], *, version: int, reason: str) -> None:
    """Remove a row on which nothing else stands; an element that was in service is better retired.

    Raises NotPermittedError, UnknownElementError, or InventoryRefusedError: no reason, changed in the meantime, in use.
    """
    reason = _reason(user, reason)
    _lock()
    row = _row(file, key).select_for_update().first()
    if row is None:
        raise UnknownElementError(f"{file} {key}: not known")
    if row.version != version:
        raise _overtaken(file, key, version, row.version)
    before = _as_row(file, key)
    try:
        with transaction.atomic():
            row.delete()
    except ProtectedError as error:
        text = _("Something else still refers to it: remove that first.")
        raise InventoryRefusedError(f"remove {file} {key}: in use", text) from error
    gone = NewEntry(
        user.actor, f"facility.{_NOUN[file]}.remove", _subject(file, before), reason, _facts(before), None
    )  # fmt: skip
    _tell(set(_tags(file, before)))
    ledger.append([gone])


def _reason(user: "User", reason: str) -> str:
    if not user.may(Permission.FACILITY_EDIT):
        raise NotPermittedError(f"{user.actor}: inventory: the role {user.role} does not permit it")
    reason = " ".join(reason.replace("\0", "").split())
    if not 1 <= len(reason) <= REASON_MAX:
        raise InventoryRefusedError(f"inventory: a reason of {len(reason)} characters", _("State a reason."))
    return reason


def _lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _overtaken(file: str, key: Sequence[str], version: int, found: int) -> InventoryRefusedError:
    text = _("Somebody else has changed it in the meantime. Look at it again.")
    return InventoryRefusedError(f"{file} {key}: made for version {version}; found {found}", text)


def _row(file: str, key: Sequence[str]) -> "QuerySet[Any]":
    names = ("element__tag", "title") if file == "documents" else KEYS[file]
    return _TABLE[file].objects.filter(**dict(zip(names, key, strict=True)))  # type: ignore[no-any-return]


def _as_row(file: str, key: Sequence[str]) -> Row:
    read: Any = getattr(selectors, file)
    return read(rows=_row(file, key))[0]  # type: ignore[no-any-return]


def _around(file: str, values: Mapping[str, Any]) -> Inventory:
    """As much of the inventory as one row can be judged by."""
    tags = [values.get(name) for name in ("tag", "source", "target", "element")]
    wanted = Q(tag__in=[tag for tag in tags if tag])
    if file == "elements" and values.get("machine_id") is not None:
        wanted |= Q(machine_id=values["machine_id"])
    if file == "places":
        wanted |= Q(place__code=values.get("code", ""))
    linked = models.Link.objects.filter(tag=values.get("tag", "")) if file == "links" else models.Link.objects.none()
    if file == "links":
        wanted |= Q(outputs__in=linked) | Q(inputs__in=linked)
    held = models.Document.objects.filter(element__tag=values.get("element", ""))
    return Inventory(
        places=tuple(selectors.places()),
        elements=tuple(selectors.elements(rows=models.Element.objects.filter(wanted).distinct())),
        links=tuple(selectors.links(rows=linked)),
        documents=tuple(selectors.documents(rows=held)) if file == "documents" else (),
    )


def _enter(user: "User", known: Inventory, given: Mapping[str, Sequence[Given]], reason: str) -> Plan:
    found = plan(known, given)
    if found.problems:
        raise InventoryFaultyError(found)
    for file in FILES:
        _save(file, [change for change in found.changes if change.file == file])
    if not found.changes:
        return found
    _tell({tag for change in found.changes for tag in _tags(change.file, change.after)})
    entries = [_entry(user, change, reason) for change in found.changes]
    for at in range(0, len(entries), ledger.BATCH_MAX):
        ledger.append(entries[at : at + ledger.BATCH_MAX])
    return found


def _save(file: str, changes: Sequence[Change]) -> None:
    table = _TABLE[file]
    ids = _references(file, changes)
    added = [change for change in changes if change.before is None]
    rows = [table(**_columns(file, change.after, ids)) for change in _parents_first(file, added)]
    if file == "places":
        for row, change in zip(rows, _parents_first(file, added), strict=True):
            row.parent_id = ids["place"].get(change.after.parent)
            row.save(force_insert=True)
            ids["place"][row.code] = row.pk
    else:
        table.objects.bulk_create(rows, batch_size=_PART)
    changed = {tuple(getattr(change.after, name) for name in KEYS[file]): change for change in changes if change.before}
    if not changed:
        return
    stored = {_key(file, row): row for row in _stored(file, changed)}
    columns = list(_columns(file, next(iter(changed.values())).after, ids))
    for key, change in changed.items():
        row = stored[key]
        for name, value in _columns(file, change.after, ids).items():
            setattr(row, name, value)
        row.version += 1
    table.objects.bulk_update(stored.values(), [*columns, "version"], batch_size=_PART)


def _parents_first(file: str, changes: Sequence[Change]) -> list[Change]:
    order = ["site", "hall", "row", "rack"]
    return sorted(changes, key=lambda change: order.index(change.after.kind)) if file == "places" else list(changes)


def _stored(file: str, changed: Mapping[tuple[str, ...], Change]) -> "QuerySet[Any]":
    table = _TABLE[file].objects
    firsts = {key[0] for key in changed}
    if file == "documents":
        return table.select_related("element").filter(element__tag__in=firsts)  # type: ignore[no-any-return]
    return table.filter(**{f"{KEYS[file][0]}__in": firsts})  # type: ignore[no-any-return]


def _key(file: str, row: Any) -> tuple[str, ...]:
    return (row.element.tag, row.title) if file == "documents" else (getattr(row, KEYS[file][0]),)


def _references(file: str, changes: Sequence[Change]) -> dict[str, dict[str, int]]:
    """The numbers of rows that are named: places by code, elements by tag."""
    if not changes:
        return {"place": {}, "element": {}}
    found: dict[str, dict[str, int]] = {"place": {}, "element": {}}
    if file in {"places", "elements"}:
        found["place"] = dict(models.Place.objects.values_list("code", "pk"))
    else:
        tags = {tag for change in changes for tag in _tags(file, change.after)}
        found["element"] = dict(models.Element.objects.filter(tag__in=tags).values_list("tag", "pk"))
    return found


def _columns(file: str, row: Any, ids: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    facts = msgspec.structs.asdict(row)
    if file == "places":
        facts["parent_id"] = ids["place"].get(facts.pop("parent"))
    elif file == "elements":
        facts["place_id"] = ids["place"].get(facts.pop("place"))
    elif file == "links":
        facts["source_id"] = ids["element"][facts.pop("source")]
        facts["target_id"] = ids["element"][facts.pop("target")]
    else:
        facts["element_id"] = ids["element"][facts.pop("element")]
    return facts


def _tags(file: str, row: Any) -> tuple[str, ...]:
    """The elements that a row tells of."""
    if file == "links":
        return row.source, row.target
    if file == "places":
        return ()
    return (row.tag if file == "elements" else row.element,)


def _tell(tags: set[str]) -> None:
    named = tuple(sorted(tags)) if len(tags) <= TAGS_MAX else ()
    outbox.emit(InventoryChanged(tags=named, at_ms=int(utc_now().timestamp() * 1000)))


def _subject(file: str, row: Any) -> str:
    if file == "documents":
        return f"element:{row.element}"
    return f"{_NOUN[file]}:{getattr(row, KEYS[file][0])}"


def _facts(row: Row) -> dict[str, Any]:
    return {name: value for name, value in msgspec.to_builtins(row).items() if value not in {None, ""}}


def _entry(user: "User", change: Change, reason: str) -> NewEntry:
    verb = "add" if change.before is None else "change"
    before, after = None, _facts(change.after)
    if change.before is not None:
        was, now = msgspec.to_builtins(change.before), msgspec.to_builtins(change.after)
        before, after = ({name: each[name] for name in change.fields} for each in (was, now))
    return NewEntry(
        user.actor, f"facility.{_NOUN[change.file]}.{verb}", _subject(change.file, change.after), reason, before, after
    )
