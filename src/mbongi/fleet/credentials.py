"""Passwords of machines: made, written down before they are written, shown to few; never in the ledger or on a page
unasked.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.base.errors import ConfigError
from mbongi.base.ids import MachineId
from mbongi.base.log import get_log
from mbongi.core.bus import outbox
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.fleet.actions import requested_entry, requested_message
from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.credential_box import seal, unseal
from mbongi.fleet.errors import ActionRefusedError, NotPermittedError, OperationRefusedError, UnknownMachineError
from mbongi.fleet.groups import checked_reason
from mbongi.fleet.models import Action, Credential, Machine
from mbongi.fleet.operation_rows import OperationRow
from mbongi.fleet.operations import Plan, Step, plan_operation, start_operation
from mbongi.fleet.values import ActionKind, ActionStatus, Family, Limits, OperationKind

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

log = get_log(__name__)

ALPHABET = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Nothing that is misread, and nothing that a family's commands would take apart."""
REHEARSED = "a rehearsed password"
"""Stands for the new one where nothing is changed."""
REASON = "a password of its own instead of the maker's"


@dataclass(frozen=True, slots=True)
class Known:
    """A machine with a password of its own, for the fleet process. ``repr`` does not show it.

    ``is_pending``: it may have this one, as its change was not seen to its end; another one is used until then.
    """

    machine_id: MachineId
    address: str | None
    family: Family
    password: str
    is_pending: bool = False
    is_retired: bool = False

    def __repr__(self) -> str:
        return f"Known({self.machine_id})"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a person is shown. ``pending``: the machine has this one or ``password``, which is empty for the common one.

    ``pending`` is empty, and so is ``note``, where there is no doubt.
    """

    password: str
    pending: str = ""
    note: str = ""

    def __repr__(self) -> str:
        return "Shown()"


def takes_password(family: Family) -> bool:
    """Whether machines of the family can be given one."""
    return adapter_of(family).abilities.password_length > 0


def families_with_password() -> list[str]:
    """The families whose machines can be given one."""
    return [family.value for family in Family if takes_password(family)]


def new_password(family: Family) -> str:
    """A random one, as long as the family takes. Raises ActionRefusedError where it takes none."""
    length = adapter_of(family).abilities.password_length
    if not length:
        text = _("Machines of this family have no password that could be changed.")
        raise ActionRefusedError(f"password: machines of the family {family} take none", text)
    return "".join(secrets.choice(ALPHABET) for _number in range(length))


# What the fleet process does.


def known_passwords(cache: dict[str, str]) -> list[Known]:
    """Every password that is, or may be, a machine's own; those of retired machines too, as these may come back.

    ``cache`` keeps what was decrypted between calls. One that cannot be decrypted is left out, and said.
    """
    rows = Credential.objects.exclude(sealed="", pending="").select_related("machine")
    found, seen = [], {}
    for row in rows:
        machine, machine_id = row.machine, MachineId(row.machine_id)
        for sealed, is_pending in ((row.sealed, False), (row.pending, True)):
            if not sealed:
                continue
            try:
                word = seen[sealed] = cache.get(sealed) or unseal(machine_id, sealed)
            except ConfigError as error:
                log.warning("machine_password_unreadable", machine_id=machine_id, reason=str(error))
                continue
            is_retired = machine.retired_at is not None
            found.append(Known(machine_id, machine.address, Family(machine.family), word, is_pending, is_retired))
    cache.clear()
    cache.update(seen)
    return found


@transaction.atomic
def prepare(machine_id: int, action_id: int) -> str:
    """The password that an action is to give its machine: on record before anything is sent.

    One that an earlier attempt left open is taken again, as the machine may have it. An action that was carried out
    already, and is looked into after an interruption, gets what it has set. Raises UnknownMachineError.
    """
    machine = Machine.objects.filter(pk=machine_id).first()
    if machine is None:
        raise UnknownMachineError(f"password of machine {machine_id}: no such machine")
    Credential.objects.get_or_create(machine=machine)
    row = Credential.objects.select_for_update().get(machine=machine)
    if row.changed_action == action_id and row.sealed:
        return unseal(machine_id, row.sealed)
    if row.pending:
        word = unseal(machine_id, row.pending)
    else:
        word = new_password(Family(machine.family))
        row.pending = seal(machine_id, word)
    row.pending_action = action_id
    row.save(update_fields=["pending", "pending_action"])
    return word


@transaction.atomic
def settle(machine_id: int, action_id: int) -> None:
    """The machine was seen to accept the action's password alone: from now on it is the one that is used."""
    row = Credential.objects.select_for_update().filter(machine_id=machine_id).first()
    if row is None or row.pending_action != action_id or not row.pending:
        return
    row.sealed, row.pending = row.pending, ""
    row.changed_action, row.pending_action, row.changed_at = action_id, None, utc_now()
    row.save(update_fields=["sealed", "pending", "changed_action", "pending_action", "changed_at"])


# What people ask for.


@transaction.atomic
def rotate(
    user: "User",
    machine_ids: Sequence[int] | None = None,
    *,
    reason: str,
    only_common: bool = False,
    limits: Limits | None = None,
) -> OperationRow:
    """Give machines new passwords, by an operation that starts at once: these, or (None) all that can be given one.

    ``only_common``: only those that still have the site's common one.
    Raises NotPermittedError, OperationRefusedError where there is none to change.
    """
    if not user.may(Permission.CREDENTIAL_MANAGE):
        raise NotPermittedError(f"{user.actor}: change passwords: the role {user.role} does not permit it")
    rows = Machine.objects.filter(retired_at=None, address__isnull=False, family__in=families_with_password())
    if machine_ids is not None:
        rows = rows.filter(pk__in=list(machine_ids))
    if only_common:
        rows = rows.exclude(credential__changed_at__isnull=False)
    ids = list(rows.order_by("hall", "rack", "slot", "pk").values_list("pk", flat=True))
    if not ids:
        raise OperationRefusedError(
            "change passwords: no machine that could be given one", _("There is no machine whose password to change.")
        )
    steps = [Step(pk, ActionKind.SET_CREDENTIALS) for pk in ids]
    plan = Plan(OperationKind.CREDENTIALS, steps, reason, limits=limits or Limits(), tenant_id=user.tenant_id)
    return start_operation(user, plan_operation(user, plan).id)


@transaction.atomic
def show(user: "User", machine_id: int, *, reason: str) -> Shown:
    """The password of a machine, for a permitted person, and both while a change is in doubt. It is in the ledger.

    Raises NotPermittedError, UnknownMachineError, ActionRefusedError where it has none of its own or without a reason.
    """
    what = f"show the password of machine {machine_id}"
    if not user.may(Permission.CREDENTIAL_MANAGE):
        raise NotPermittedError(f"{user.actor}: {what}: the role {user.role} does not permit it")
    reason = checked_reason(reason, what)
    machine = Machine.objects.filter(pk=machine_id).first()
    if machine is None:
        raise UnknownMachineError(f"{what}: no such machine")
    row = Credential.objects.filter(machine=machine).first()
    if row is None or not (row.sealed or row.pending):
        text = _("This machine has no password of its own; it has the one of the settings.")
        raise ActionRefusedError(f"{what}: it has none of its own", text)
    word, pending = (unseal(machine_id, sealed) if sealed else "" for sealed in (row.sealed, row.pending))
    shown = Shown(word, pending, _in_doubt(word) if pending else "")
    after = {"changed_at": None if row.changed_at is None else row.changed_at.isoformat(), "in_doubt": bool(pending)}
    entry = NewEntry(user.actor, "fleet.machine.password.show", f"machine:{machine_id}", reason, None, after, None)
    ledger.append([entry])
    return shown


def _in_doubt(word: str) -> str:
    if word:
        return _("A change was not seen to its end: the machine has the one or the other password.")
    return _("A change was not seen to its end: the machine has the pending password or the one of the settings.")


def ask_for_new(user: "User", machine: Machine) -> int | None:
    """Ask for a new password of a machine that was just placed; the action's number, None where none is asked for.

    Whoever may place machines may have this done to them. A machine that is busy, or has one of its own, is left.
    """
    has_own = Credential.objects.filter(machine=machine, changed_at__isnull=False).exists()
    busy = Action.objects.filter(machine=machine, status__in=[ActionStatus.REQUESTED, ActionStatus.RUNNING]).exists()
    if has_own or busy or machine.address is None or not takes_password(Family(machine.family)):
        return None
    row = Action.objects.create(
        machine=machine,
        tenant_id=machine.tenant_id,
        kind=ActionKind.SET_CREDENTIALS,
        arguments={},
        reason=REASON,
        author=user,
        requested_at=utc_now(),
    )
    outbox.emit(requested_message(row))
    ledger.append([requested_entry(row, user.actor)])
    return row.pk
