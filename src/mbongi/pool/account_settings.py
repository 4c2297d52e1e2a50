"""What people decide about an account: from what amount on it is paid, what it gives away, and whose it is."""

from dataclasses import asdict, dataclass
from typing import Protocol

from django.db import transaction

from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.pool.entries import lock_books
from mbongi.pool.errors import NotPermittedError, PayoutError, UnknownAccountError
from mbongi.pool.importing import lock_imports
from mbongi.pool.models import Account, EntryChange, PaymentOutput, WindowLeaf, Worker, WorkerMinute
from mbongi.pool.rules.payout.amounts import PPM


class Person(Protocol):
    """Whoever asks."""

    @property
    def actor(self) -> str:
        """How the ledger names them."""

    def may(self, permission: Permission) -> bool:
        """Whether they may do it."""


@dataclass(frozen=True, slots=True)
class AccountChange:
    """What is to be set; None leaves a value as it is. ``tenant_id`` 0 gives the account back to the site."""

    minimum_sat: int | None = None
    donation_ppm: int | None = None
    tenant_id: int | None = None


@transaction.atomic
def change_account(by: Person, name: str, change: AccountChange, *, reason: str) -> None:
    """Set values of an account; a tenant's account takes all its workers, work and entries along.

    Raises NotPermittedError, UnknownAccountError, and PayoutError without a reason or for a value out of range.
    """
    _require(by, name, change, reason)
    # Else shares that are being taken in would stay the former tenant's; and two who hold a part each never end.
    lock_imports()
    lock_books()
    row = Account.objects.select_for_update().filter(name=name).first()
    if row is None:
        raise UnknownAccountError(f"account {name}: not known; it is opened with its first share")
    before = {key: getattr(row, key) for key, value in asdict(change).items() if value is not None}
    for key, value in asdict(change).items():
        if value is not None:
            setattr(row, key, (value or None) if key == "tenant_id" else value)
    row.save(update_fields=list(before))
    if change.tenant_id is not None:
        _hand_over(row)
    after = {key: getattr(row, key) for key in before}
    entry = NewEntry(by.actor, "pool.account.change", f"pool-account:{row.pk}", reason, before, after)
    ledger.append([entry])


def _require(by: Person, name: str, change: AccountChange, reason: str) -> None:
    needed = {Permission.PAYOUT_PROPOSE} | ({Permission.TENANT_MANAGE} if change.tenant_id is not None else set())
    for permission in sorted(needed):
        if not by.may(permission):
            raise NotPermittedError(f"{by.actor}: change account {name}: {permission} is not permitted to the role")
    if not reason.strip():
        raise PayoutError(f"change account {name}: found no reason; state why")
    if change.minimum_sat is not None and not 0 <= change.minimum_sat <= 21 * 10**14:
        raise PayoutError(f"account {name}: a minimum of {change.minimum_sat} sat; expected 0 to all there are")
    if change.donation_ppm is not None and not 0 <= change.donation_ppm <= PPM:
        raise PayoutError(f"account {name}: a donation of {change.donation_ppm} ppm; expected 0..{PPM}")


def _hand_over(account: Account) -> None:
    """Row-level security goes by the tenant in each row."""
    Worker.objects.filter(account=account).update(tenant_id=account.tenant_id)
    WorkerMinute.objects.filter(worker__account=account).update(tenant_id=account.tenant_id)
    WindowLeaf.objects.filter(worker__account=account).update(tenant_id=account.tenant_id)
    EntryChange.objects.filter(account=account).update(tenant_id=account.tenant_id)
    PaymentOutput.objects.filter(account=account).update(tenant_id=account.tenant_id)
