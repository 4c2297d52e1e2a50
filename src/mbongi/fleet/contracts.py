"""Contracts of tenants who own machines here, and the excuses of downtime: one person writes, another one agrees.

Only people of the site do either: whoever belongs to a tenant sees, and decides nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import transaction
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.base.ids import TenantId
from mbongi.core.identity.selectors import tenants
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.fleet.errors import HostingRefusedError, NotPermittedError, UnknownContractError
from mbongi.fleet.hosting_rows import ExcuseRow, VersionRow, contract, excuse, versions
from mbongi.fleet.models import Contract, ContractVersion, Excuse, Group, Hosted, Machine
from mbongi.fleet.rules.hosting_terms import MACHINES_MAX, ExcuseClass, Terms, faults_of
from mbongi.fleet.values import ProfileState

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

NAME_MAX = 60
REASON_MAX = 500
EXCUSE_S_MAX = 92 * 86_400
PROCESS = "process:fleet"


@transaction.atomic
def add_contract(
    user: "User", tenant_id: int, name: str, terms: Mapping[str, Any] | Terms, *, reason: str
) -> VersionRow:
    """A contract with its first version, which a second person approves.

    Raises NotPermittedError, HostingRefusedError saying what cannot be used.
    """
    require(user, Permission.HOSTING_EDIT, "add a contract")
    name = name.strip()
    if not 1 <= len(name) <= NAME_MAX or not name.isprintable():
        raise refused(f"add a contract: name of {len(name)} characters", _("State a name of 1 to 60 letters."))
    if Contract.objects.filter(name__iexact=name).exists():
        raise refused(f"add a contract: {name!r} is there already", _("There is such a contract already."))
    if not tenants().filter(pk=tenant_id).exists():
        raise refused(f"add a contract: tenant {tenant_id}: not known", _("There is no such tenant."))
    row = Contract.objects.create(tenant_id=tenant_id, name=name, added_at=utc_now())
    return write_version(user, row.pk, terms, reason=reason)


@transaction.atomic
def write_version(user: "User", contract_id: int, terms: Mapping[str, Any] | Terms, *, reason: str) -> VersionRow:
    """Propose a new version; it governs once somebody else approves it.

    Raises NotPermittedError, UnknownContractError, HostingRefusedError.
    """
    what = f"write a version of contract {contract_id}"
    require(user, Permission.HOSTING_EDIT, what)
    reason = checked_reason(reason, what)
    row = _locked(contract_id)
    checked = checked_terms(terms, row.tenant_id, what)
    known = ContractVersion.objects.filter(contract=row)
    if known.filter(state=ProfileState.PROPOSED).exists():
        raise refused(f"{what}: one is proposed", _("A version is proposed; it must be decided on first."))
    made = ContractVersion.objects.create(
        contract=row,
        tenant_id=row.tenant_id,
        number=1 + max(known.values_list("number", flat=True), default=0),
        document=msgspec.to_builtins(checked),
        reason=reason,
        author=user,
        written_at=utc_now(),
    )
    _record(user, "contract.propose", made, reason, made.document)
    return versions(row.pk)[0]


def checked_terms(terms: Mapping[str, Any] | Terms, tenant_id: int, what: str) -> Terms:
    """Terms that a contract of the tenant can have. Raises HostingRefusedError naming the field."""
    try:
        found = terms if isinstance(terms, Terms) else msgspec.convert(dict(terms), Terms)
    except msgspec.ValidationError as error:
        text = _("These terms cannot be read: %(error)s") % {"error": error}
        raise refused(f"{what}: {error}", text) from error
    faults = faults_of(found)
    if faults:
        listed = "; ".join(f"{field}: {fault}" for field, fault in faults)
        raise refused(f"{what}: {listed}", _("These terms cannot be used: %(faults)s") % {"faults": listed})
    if found.group_id is not None and not Group.objects.filter(pk=found.group_id).exists():
        raise refused(f"{what}: group {found.group_id}: not known", _("There is no such group."))
    ids = {each.machine_id for each in found.machines}
    owners = dict(Machine.objects.filter(pk__in=ids).values_list("pk", "tenant_id"))
    lasting = {each.machine_id for each in found.machines if each.until is None}
    strange = (ids - owners.keys()) | {pk for pk in lasting if owners.get(pk) != tenant_id}
    if strange:
        text = _("Machine %(id)d is not known, or is not the tenant's.") % {"id": min(strange)}
        raise refused(f"{what}: machine {min(strange)}: not known, or not of tenant {tenant_id}", text)
    return found


@transaction.atomic
def approve_version(user: "User", version_id: int, *, reason: str) -> VersionRow:
    """Let a proposed version govern. Never by its author. Raises NotPermittedError, UnknownContractError, Refused."""
    what = f"approve contract version {version_id}"
    require(user, Permission.HOSTING_APPROVE, what)
    return _decided(user, version_id, ProfileState.ACTIVE, what, checked_reason(reason, what))


@transaction.atomic
def refuse_version(user: "User", version_id: int, *, reason: str) -> VersionRow:
    """Refuse a proposed version, or withdraw one's own. Raises as ``approve_version``."""
    what = f"refuse contract version {version_id}"
    return _decided(user, version_id, ProfileState.REFUSED, what, checked_reason(reason, what))


def _decided(user: "User", version_id: int, state: ProfileState, what: str, reason: str) -> VersionRow:
    found = ContractVersion.objects.filter(pk=version_id).values_list("contract_id", flat=True).first()
    if found is None:
        raise UnknownContractError(f"{what}: not known")
    _locked(found)
    row = ContractVersion.objects.select_related("contract").get(pk=version_id)
    _check_decider(user, row, state, what)
    if state is ProfileState.ACTIVE:
        former = ContractVersion.objects.filter(contract_id=found, state=ProfileState.ACTIVE)
        former.update(state=ProfileState.SUPERSEDED)
    _decide(row, state, user, reason)
    verb = "approve" if state is ProfileState.ACTIVE else "refuse"
    _record(user, f"contract.{verb}", row, reason, None)
    if state is ProfileState.ACTIVE:
        follow_rules(found)
    return next(each for each in versions(found) if each.id == version_id)


def _check_decider(user: "User", row: ContractVersion | Excuse, state: ProfileState, what: str) -> None:
    is_author = row.author_id == user.pk
    if state is ProfileState.ACTIVE and is_author:
        raise refused(f"{what}: {user.actor} wrote it", _("You wrote this; somebody else must approve it."))
    if not is_author or user.tenant_id is not None:
        require(user, Permission.HOSTING_APPROVE, what)
    if row.state != ProfileState.PROPOSED:
        raise refused(f"{what}: it is {row.state}", _("This has been decided on meanwhile; look again."))


def _decide(row: ContractVersion | Excuse, state: ProfileState, user: "User", decision: str) -> None:
    row.state, row.decider, row.decided_at, row.decision = state, user, utc_now(), decision
    row.save(update_fields=["state", "decider", "decided_at", "decision"])


# Machines that come and go by a contract's rule.


@transaction.atomic
def follow_rules(contract_id: int | None = None) -> int:
    """Take in the machines that contracts' rules now name, and let go of those that they no longer do.

    What a rule says counts from when it is looked at (when it is approved, then every minute by the fleet process);
    whose a machine was before that, only a list can say. Returns how many changed.
    """
    now, changed = utc_now(), 0
    rows = Contract.objects.select_for_update().order_by("pk")
    for row in rows if contract_id is None else rows.filter(pk=contract_id):
        active = ContractVersion.objects.filter(contract=row, state=ProfileState.ACTIVE).first()
        terms = None if active is None else msgspec.convert(active.document, Terms)
        wanted: set[int] = set()
        if terms is not None and terms.by_rule:
            owned = Machine.objects.filter(tenant_id=row.tenant_id, retired_at=None)
            owned = owned if terms.group_id is None else owned.filter(group_id=terms.group_id)
            wanted = set(owned.values_list("pk", flat=True)[:MACHINES_MAX])
        changed += _follow(row, wanted, now)
    return changed


def _follow(row: Contract, wanted: set[int], now: datetime) -> int:
    present = Hosted.objects.filter(contract=row, until=None)
    inside = set(present.values_list("machine_id", flat=True))
    joined, left = sorted(wanted - inside), sorted(inside - wanted)
    if not joined and not left:
        return 0
    present.filter(machine_id__in=left).update(until=now)
    Hosted.objects.bulk_create(
        Hosted(contract=row, tenant_id=row.tenant_id, machine_id=machine_id, since=now) for machine_id in joined
    )
    after = {"joined": joined[:1000], "left": left[:1000], "count": len(wanted)}
    subject = f"contract:{row.pk}"
    ledger.append([NewEntry(PROCESS, "fleet.contract.follow", subject, "", None, after, TenantId(row.tenant_id))])
    return len(joined) + len(left)


# Excuses.


@transaction.atomic
def enter_excuse(  # noqa: PLR0913 -- an excuse is made of as much
    user: "User",
    klass: ExcuseClass,
    since: datetime,
    until: datetime,
    *,
    note: str,
    machine_ids: Sequence[int] = (),
    contract_id: int | None = None,
    hall: int | None = None,
    evidence: str = "",
) -> ExcuseRow:
    """Propose an excuse of downtime, of some machines, a contract's, a hall's or the whole site's.

    Raises NotPermittedError, UnknownContractError, HostingRefusedError.
    """
    what = f"enter an excuse ({klass})"
    require(user, Permission.HOSTING_EDIT, what)
    note = checked_reason(note, what, most=1000)
    if sum((bool(machine_ids), contract_id is not None, hall is not None)) > 1:
        raise refused(f"{what}: more than one reach", _("Choose machines, a contract or a hall: one of them."))
    if since >= until or (until - since).total_seconds() > EXCUSE_S_MAX or since.tzinfo is None:
        text = _("The end comes after the start, and within 92 days.")
        raise refused(f"{what}: from {since} until {until}", text)
    if contract_id is not None:
        contract(contract_id)
    ids = sorted(set(machine_ids))
    if len(ids) > MACHINES_MAX or Machine.objects.filter(pk__in=ids).count() != len(ids):
        raise refused(f"{what}: machines that are not known", _("Some of these machines are not known."))
    row = Excuse.objects.create(
        klass=klass,
        since=since,
        until=until,
        machine_ids=ids,
        contract_id=contract_id,
        hall=hall,
        note=note,
        evidence=evidence.strip()[:300],
        author=user,
        entered_at=utc_now(),
    )
    _record_excuse(user, "enter", row, note)
    return excuse(row.pk)


@transaction.atomic
def approve_excuse(user: "User", excuse_id: int, *, reason: str) -> ExcuseRow:
    """Agree to an excuse that somebody else entered; months that are closed stay as they are.

    Raises NotPermittedError, UnknownContractError, HostingRefusedError.
    """
    what = f"approve excuse {excuse_id}"
    require(user, Permission.HOSTING_APPROVE, what)
    return _decided_excuse(user, excuse_id, ProfileState.ACTIVE, what, checked_reason(reason, what))


@transaction.atomic
def refuse_excuse(user: "User", excuse_id: int, *, reason: str) -> ExcuseRow:
    """Refuse an excuse, or withdraw one's own. Raises as ``approve_excuse``."""
    what = f"refuse excuse {excuse_id}"
    return _decided_excuse(user, excuse_id, ProfileState.REFUSED, what, checked_reason(reason, what))


def _decided_excuse(user: "User", excuse_id: int, state: ProfileState, what: str, reason: str) -> ExcuseRow:
    row = Excuse.objects.select_for_update().filter(pk=excuse_id).first()
    if row is None:
        raise UnknownContractError(f"{what}: not known")
    _check_decider(user, row, state, what)
    _decide(row, state, user, reason)
    _record_excuse(user, "approve" if state is ProfileState.ACTIVE else "refuse", row, reason)
    return excuse(excuse_id)


def _record_excuse(user: "User", verb: str, row: Excuse, reason: str) -> None:
    after = {
        "class": str(row.klass),
        "since": row.since.isoformat(),
        "until": row.until.isoformat(),
        "machines": row.machine_ids[:1000],
        "contract": row.contract_id,
        "hall": row.hall,
        "evidence": row.evidence,
        "author": f"user:{row.author_id}",
    }
    ledger.append([NewEntry(user.actor, f"fleet.excuse.{verb}", f"excuse:{row.pk}", reason, None, after)])


# What all of hosting shares.


def require(user: "User", permission: Permission, what: str) -> None:
    """Only people of the site, and only those whose role permits it. Raises NotPermittedError."""
    if user.tenant_id is not None or not user.may(permission):
        raise NotPermittedError(f"{user.actor}: {what}: the role {user.role} does not permit it")


def checked_reason(reason: str, what: str, *, most: int = REASON_MAX) -> str:
    """A reason, trimmed. Raises HostingRefusedError where there is none, or one too long."""
    reason = reason.strip()
    if not reason:
        raise refused(f"{what}: found no reason; state why", _("State a reason."))
    if len(reason) > most:
        text = _("The reason is too long: %(found)d characters; at most %(limit)d.")
        raise refused(f"{what}: reason of {len(reason)} characters", text % {"found": len(reason), "limit": most})
    return reason


def refused(message: str, text: str) -> HostingRefusedError:
    """The error to raise: for the log, and for the person who asked."""
    return HostingRefusedError(message, text)


def _locked(contract_id: int) -> Contract:
    row = Contract.objects.select_for_update().filter(pk=contract_id).first()
    if row is None:
        raise UnknownContractError(f"contract {contract_id}: not known")
    return row


def _record(user: "User", verb: str, row: ContractVersion, reason: str, document: Mapping[str, Any] | None) -> None:
    after = {"version": row.number, "author": f"user:{row.author_id}"} | ({"terms": document} if document else {})
    subject, tenant = f"contract:{row.contract_id}", TenantId(row.tenant_id)
    ledger.append([NewEntry(user.actor, f"fleet.{verb}", subject, reason, None, after, tenant)])
