"""Devices on record: entered, changed, removed, tried. Each change is in the ledger; no secret ever is."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.facility.device_board import CapReply, CapRequest, TryRequest
from mbongi.facility.device_box import seal, unseal
from mbongi.facility.device_rows import DeviceRow, device, own_maps
from mbongi.facility.device_wording import WRONGS
from mbongi.facility.errors import DeviceRefusedError, NotPermittedError, UnknownDeviceError
from mbongi.facility.models import Device
from mbongi.facility.point_maps import point_maps, protocol_of_maps
from mbongi.facility.ports import Credentials
from mbongi.facility.rules.devices import DeviceDraft, wrongs
from mbongi.facility.values import Protocol

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

DEVICES_MAX = 5_000
REASON_MAX = 500
CAP_W = (50.0, 20_000.0)
_FIELDS = ("tag", "protocol", "host", "port", "selector", "map_name", "period_s", "timeout_s", "user", "is_enabled")


@dataclass(frozen=True, slots=True)
class ListOutcome:
    """What a list of devices did, or would do."""

    added: int
    changed: int
    same: int


@transaction.atomic
def save_device(user: "User", draft: DeviceDraft, *, device_id: int | None = None, reason: str) -> DeviceRow:
    """Enter a device, or change one. Raises NotPermittedError, DeviceRefusedError, UnknownDeviceError."""
    what = f"{'add' if device_id is None else 'change'} the device {draft.tag} ({draft.protocol})"
    _require(user, what)
    reason = _checked_reason(reason, what)
    row = None if device_id is None else _locked(device_id)
    return device(_store(user.actor, draft, row, reason, what).pk)


@transaction.atomic
def enter_list(drafts: Sequence[DeviceDraft], *, actor: str, reason: str, dry_run: bool = False) -> ListOutcome:
    """Enter a whole list of devices, all or none; one on record is known by its tag and protocol, and brought to it.

    What is on record and not in the list stays. Raises DeviceRefusedError naming the first that cannot be.
    """
    reason = _checked_reason(reason, "enter a list of devices")
    on_record = {(row.tag, row.protocol): row for row in Device.objects.select_for_update().order_by("pk")}
    counts = Counter[str]()
    for draft in drafts:
        what = f"enter the device {draft.tag} ({draft.protocol})"
        row = on_record.get((draft.tag, draft.protocol))
        settled, known = _settled(draft, row, what)
        if row is not None and _is_as(row, settled, known):
            counts["same"] += 1
            continue
        counts["added" if row is None else "changed"] += 1
        if not dry_run:
            on_record[draft.tag, draft.protocol] = _store(actor, draft, row, reason, what)
    return ListOutcome(counts["added"], counts["changed"], counts["same"])


def _store(actor: str, draft: DeviceDraft, row: Device | None, reason: str, what: str) -> Device:
    """Add the draft, or bring ``row`` to it. Raises DeviceRefusedError."""
    device_id = None if row is None else row.pk
    draft, known = _settled(draft, row, what)
    twin = Device.objects.filter(tag=draft.tag, protocol=draft.protocol).first()
    if twin is not None and twin.pk != device_id:
        text = _("This element has a device with this protocol already.")
        raise DeviceRefusedError(f"{what}: there is one already", text)
    if row is None and Device.objects.count() >= DEVICES_MAX:
        raise DeviceRefusedError(f"{what}: {DEVICES_MAX} are there", _("There are too many devices."))
    before, now = None if row is None else _facts(row), utc_now()
    row = row or Device(added_at=now)
    for name in _FIELDS:
        setattr(row, name, getattr(draft, name))
    row.note, row.changed_at = draft.note.strip()[:500], now
    row.sealed = seal(draft.tag, draft.protocol, known)
    row.save()
    after = _facts(row) | {"secret_given": bool(draft.secret or draft.privacy)}
    _record(actor, "add" if before is None else "change", row.pk, reason, before, after)
    return row


@transaction.atomic
def remove_device(user: "User", device_id: int, *, reason: str) -> None:
    """Take a device off the record; its past values stay. Raises NotPermittedError, UnknownDeviceError."""
    _require(user, f"remove device {device_id}")
    reason = _checked_reason(reason, f"remove device {device_id}")
    row = _locked(device_id)
    before = _facts(row)
    row.delete()
    _record(user.actor, "remove", device_id, reason, before, None)


def try_request(user: "User", draft: DeviceDraft, *, device_id: int | None = None) -> TryRequest:
    """What is sent to the facility process to ask the device once. Nothing is stored.

    Raises NotPermittedError, DeviceRefusedError, UnknownDeviceError.
    """
    what = f"try the device {draft.tag} ({draft.protocol})"
    _require(user, what)
    row = None if device_id is None else Device.objects.filter(pk=device_id).first()
    if row is None and device_id is not None:
        raise UnknownDeviceError(f"{what}: not known")
    draft, known = _settled(draft, row, what)
    return TryRequest(
        tag=draft.tag,
        protocol=draft.protocol,
        host=draft.host,
        port=draft.port,
        selector=draft.selector,
        map_name=draft.map_name,
        timeout_s=draft.timeout_s,
        user=draft.user,
        sealed=seal(draft.tag, draft.protocol, known),
    )


@transaction.atomic
def cap_request(user: "User", device_id: int, watts: float | None, *, dry_run: bool, reason: str) -> CapRequest:
    """What is sent to the facility process to set a server's power cap [W; None: lift it].

    The wish is in the ledger before anything is sent; ``cap_done`` notes what came of it.
    Raises NotPermittedError, UnknownDeviceError, DeviceRefusedError.
    """
    what = f"set the power cap of device {device_id}"
    _require(user, what)
    reason = reason.strip() if dry_run else _checked_reason(reason, what)
    row = _locked(device_id)
    if row.protocol != Protocol.REDFISH:
        raise DeviceRefusedError(f"{what}: speaks {row.protocol}", _("Only servers by Redfish have a power cap."))
    if watts is not None and not CAP_W[0] <= watts <= CAP_W[1]:
        text = _("A power cap is from %(least)d to %(most)d W.") % {"least": CAP_W[0], "most": CAP_W[1]}
        raise DeviceRefusedError(f"{what}: {watts} W; expected {CAP_W[0]:g} to {CAP_W[1]:g}", text)
    if not dry_run:
        _record(user.actor, "cap", device_id, reason, None, {"watts": watts})
    return CapRequest(device_id=device_id, watts=watts, dry_run=dry_run)


@transaction.atomic
def cap_done(user: "User", asked: CapRequest, reply: CapReply) -> None:
    """Note what came of a cap that was asked for; not of a dry run."""
    if asked.dry_run:
        return
    after = {"watts": reply.after_w, "error": reply.error, "detail": reply.detail[:200]}
    _record(user.actor, "cap_done", asked.device_id, "", {"watts": reply.before_w}, after)


def _settled(draft: DeviceDraft, row: Device | None, what: str) -> tuple[DeviceDraft, Credentials]:
    """The draft with the secrets that are to be used. Raises DeviceRefusedError for what is wrong with it.

    Secrets on record are kept only for the host they were entered for, and its scheme: whoever may change the address
    must not be able to have them sent to another, or in the clear.
    """
    protocol = protocol_of_maps(draft.protocol)
    maps = frozenset(one.name for one in point_maps(own_maps()) if one.protocol == protocol)
    is_same = row is not None and (row.protocol, row.host, row.port) == (draft.protocol, draft.host, draft.port)
    if row is not None and draft.protocol is Protocol.REDFISH:
        is_same = is_same and row.map_name == draft.map_name
    kept = Credentials()
    if row is not None and row.sealed and is_same:
        kept = unseal(row.tag, row.protocol, row.user, row.sealed)
    if found := wrongs(draft, maps=maps, has_secret=bool(kept.secret)):
        text = " ".join(str(WRONGS[one]) for one in found)
        raise DeviceRefusedError(f"{what}: {', '.join(found)}", text)
    secret = kept.secret if draft.secret is None else draft.secret
    privacy = kept.privacy if draft.privacy is None else draft.privacy
    selector = draft.selector or ("1" if draft.protocol in {Protocol.MODBUS, Protocol.SUNSPEC} else "")
    return replace(draft, selector=selector), Credentials(draft.user, secret, privacy)


def _locked(device_id: int) -> Device:
    row = Device.objects.select_for_update().filter(pk=device_id).first()
    if row is None:
        raise UnknownDeviceError(f"device {device_id}: not known")
    return row


def _require(user: "User", what: str) -> None:
    if not user.may(Permission.FACILITY_EDIT):
        raise NotPermittedError(f"{user.actor}: {what}: the role {user.role} does not permit it")


def _checked_reason(reason: str, what: str) -> str:
    reason = reason.strip()
    if not 1 <= len(reason) <= REASON_MAX:
        text = _("Say why: 1 to %(limit)d letters. It goes into the ledger.") % {"limit": REASON_MAX}
        raise DeviceRefusedError(f"{what}: a reason of {len(reason)} characters", text)
    return reason


def _facts(row: Device) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _FIELDS} | {"has_secret": bool(row.sealed)}


def _is_as(row: Device, draft: DeviceDraft, known: Credentials) -> bool:
    """Whether the record says the same already, its secrets included."""
    same = all(getattr(row, name) == getattr(draft, name) for name in _FIELDS) and row.note == draft.note.strip()
    return same and unseal(row.tag, row.protocol, row.user, row.sealed) == known


def _record(actor: str, verb: str, device_id: int, reason: str, before: Any, after: Any) -> None:
    subject = f"facility_device:{device_id}"
    ledger.append([NewEntry(actor, f"facility.device.{verb}", subject, reason, before, after)])
