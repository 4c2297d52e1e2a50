"""FPPS: periods of work paid at their expected value out of a reserve, which the blocks and the operator fill.

A period is what was taken in since the last one, up to the last closed slice. It is paid whole or, while the reserve
does not hold enough, later: the pool promises nothing that it does not have.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import Max, Sum

from mbongi.base.clock import utc_now
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.pool.crediting import Division
from mbongi.pool.entries import Occasion, credit, debit, lock_books
from mbongi.pool.importing import ACTOR
from mbongi.pool.models import Account, EntryChange, Height, SchemeChange, Slice, Window, WorkerMinute
from mbongi.pool.rules.payout.amounts import Reward
from mbongi.pool.rules.payout.division import fraction_of, period_changes
from mbongi.pool.rules.payout.schemes import expected_fees_sat, reserve_sat
from mbongi.pool.values import RESERVE_ACCOUNT, Scheme
from mbongi.pool.windows import Work, by_account, publish, sharing_terms, work_before

FEES_HEIGHTS: Final = 144
"""The fees to expect are the mean of those of the last so many heights: a day's."""
RUIN: Final = 0.001
"""The probability of ruin that the recommended reserve is for."""
_PUT_ASIDE: Final = "reserve:"


@dataclass(frozen=True, slots=True)
class PeriodOutcome:
    """What became of the work since the last period: paid, nothing there, or ``missing_sat`` short in the reserve.

    ``advised_sat`` is the reserve that keeps the probability of ruin below RUIN; None at no fee, where none is enough.
    """

    paid_sat: int = 0
    missing_sat: int = 0
    advised_sat: int | None = None


@transaction.atomic
def note_height(height: int, *, bits: int, network_work: int, subsidy_sat: int, fees_sat: int) -> None:
    """Keep what the chain asks for and offers at its next height, as the node's newest template says."""
    facts = {
        "at": utc_now(),
        "bits": bits,
        "network_work": network_work,
        "subsidy_sat": subsidy_sat,
        "fees_sat": fees_sat,
    }
    Height.objects.update_or_create(height=height, defaults=facts)


@transaction.atomic
def follow_scheme(scheme: Scheme) -> bool:
    """Note from which slice on the configured scheme holds; False where it does already."""
    lock_books()
    last = SchemeChange.objects.order_by("-id").first()
    if last is not None and last.scheme == scheme:
        return False
    newest = Slice.objects.aggregate(last=Max("sequence"))["last"] or 0
    SchemeChange.objects.create(scheme=scheme, from_slice=newest + 1, at=utc_now())
    before = None if last is None else {"scheme": last.scheme}
    after = {"scheme": scheme, "from_slice": newest + 1}
    ledger.append([NewEntry(ACTOR, "pool.scheme.change", "pool", "pool.scheme", before=before, after=after)])
    return True


@transaction.atomic
def put_aside(wanted_sat: int) -> int:
    """Enter what the operator has put aside for FPPS; returns by how much that changes what was entered before.

    Raises BalanceError where so much is taken back that the reserve does not hold it any more.
    """
    lock_books()
    put = EntryChange.objects.filter(account__name=RESERVE_ACCOUNT, entry__key__startswith=_PUT_ASIDE)
    found = put.aggregate(sat=Sum("sat"))["sat"] or 0
    change_sat = wanted_sat - int(found)
    key, occasion = f"{_PUT_ASIDE}{put.count() + 1}", Occasion(ACTOR, "pool.reserve_sat")
    if change_sat > 0:
        credit(key, {RESERVE_ACCOUNT: change_sat}, occasion)
    elif change_sat < 0:
        debit(key, {RESERVE_ACCOUNT: -change_sat}, occasion)
    return change_sat


@transaction.atomic
def pay_periods(division: Division) -> PeriodOutcome:
    """Pay the closed slices since the last period, where FPPS holds and the reserve is enough."""
    lock_books()
    span = _span()
    expected, network_work = _expected()
    if span is None or network_work is None:
        return PeriodOutcome()
    first, last, carried_text = span
    advised_sat = reserve_sat(expected, division.fee_ppm, RUIN) if 0 < division.fee_ppm < 1_000_000 else None
    work = work_before(last, _all_work(first, last), since=first)
    if not work.by_worker:
        return PeriodOutcome(advised_sat=advised_sat)
    accounts = by_account(work.by_worker)
    terms = sharing_terms(division.fee_ppm, accounts)
    changes, carried = period_changes(accounts, expected, network_work, terms, fraction_of(carried_text))
    owed_sat = -changes.get(RESERVE_ACCOUNT, 0)
    held_sat = Account.objects.filter(name=RESERVE_ACCOUNT).aggregate(sat=Sum("balance_sat"))["sat"] or 0
    if owed_sat > held_sat:
        return PeriodOutcome(missing_sat=owed_sat - held_sat, advised_sat=advised_sat)
    window = Window(
        name=f"period:{first}-{last}",
        scheme=Scheme.FPPS,
        window_work=work.total,
        network_work=network_work,
        subsidy_sat=expected.subsidy_sat,
        fees_sat=expected.fees_sat,
        fee_ppm=division.fee_ppm,
        donations_ppm=dict(terms.donations_ppm),
        carried=f"{carried.numerator}/{carried.denominator}",
    )
    _book(window, work, changes, division)
    return PeriodOutcome(paid_sat=owed_sat, advised_sat=advised_sat)


def _book(window: Window, work: Work, changes: Mapping[str, int], division: Division) -> None:
    publish(window, work, division.secret)
    occasion = Occasion(ACTOR, "shares at their expected value", window_id=window.pk)
    credit(window.name, changes, occasion)


def forget_minutes(before: datetime) -> int:
    """Drop workers' minutes from before a moment; returns how many."""
    return WorkerMinute.objects.filter(minute__lt=before).delete()[0]


def first_unpaid() -> int | None:
    """The first slice that FPPS has not paid for yet; None where FPPS does not hold."""
    change = SchemeChange.objects.order_by("-id").first()
    if change is None or change.scheme != Scheme.FPPS:
        return None
    paid = _last_period()
    return max(change.from_slice, paid.last_slice + 1 if paid else 0)


def _last_period() -> Window | None:
    return Window.objects.filter(scheme=Scheme.FPPS, block=None).order_by("-last_slice").first()


def _span() -> tuple[int, int, str] | None:
    """The first and last slice that are not paid for yet, and what is carried; None where FPPS does not hold."""
    first, paid = first_unpaid(), _last_period()
    if first is None:
        return None
    last = Slice.objects.filter(is_closed=True, sequence__gte=first).aggregate(last=Max("sequence"))["last"]
    return None if last is None else (first, last, paid.carried if paid else "")


def _all_work(first: int, last: int) -> int:
    found = Slice.objects.filter(sequence__gte=first, sequence__lte=last).aggregate(all=Sum("work"))["all"]
    return max(int(found or 0), 1)


def _expected() -> tuple[Reward, int | None]:
    """What a block is expected to pay, and the work that it takes; None before a node told."""
    rows = list(Height.objects.order_by("-height")[:FEES_HEIGHTS])
    if not rows:
        return Reward(0, 0), None
    fees_sat = expected_fees_sat([each.fees_sat for each in rows])
    return Reward(rows[0].subsidy_sat, fees_sat), int(rows[0].network_work)
