"""Payouts: shown beforehand in every detail, proposed, approved by somebody else, signed outside, brought back."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mbongi.core.identity.scope import current_scope
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import selectors as ledger
from mbongi.pool import payment_rows, payments, selectors, wording
from mbongi.pool.errors import (
    NothingToPayError,
    NotPermittedError,
    PayoutError,
    PayoutRefusedError,
    ShortOfCoinsError,
    UnknownPaymentError,
)
from mbongi.pool.payment_rows import ApprovalRow, PaymentRow
from mbongi.pool.payout_plan import Plan, Wish, plan_payout
from mbongi.pool.rules.payout.batch import FeePayer
from mbongi.pool.terms import PayingTerms, terms_of
from mbongi.pool.values import PaymentState
from mbongi.web import figures
from mbongi.web.guard import needs
from mbongi.web.pages.ledger import actor_names, sentence
from mbongi.web.pages.pool import content_of

FILE_BYTES_MAX = 1_000_000
ACCOUNTS_MAX = 1000
FEE_SAT_VB_MAX = Decimal(100_000)
"""Of what the form takes; the configuration's own limit is lower."""
WAITING: dict[str, Promise] = {
    "dust": gettext_lazy("below what a transaction may pay"),
    "weight": gettext_lazy("does not fit into this transaction"),
    "minimum": gettext_lazy("below the minimum"),
    "address": gettext_lazy("has no address of this chain"),
    "nothing": gettext_lazy("nothing is owed"),
    "conflict": gettext_lazy("a cancelled payout could still reach it"),
}


@require_http_methods(["GET", "POST"])
@needs(Permission.POOL_VIEW)
def payouts(request: HttpRequest) -> HttpResponse:
    """The payouts; POST with ``step=show`` shows what a new one would be, ``step=propose`` proposes it."""
    if request.method != "POST":
        return _page(request)
    _require_site()
    if not request.user.may(Permission.PAYOUT_PROPOSE):  # type: ignore[union-attr]
        raise PermissionDenied
    try:
        wish = wish_of(request)
        if request.POST.get("step") != "propose":
            return _page(request, plan=plan_payout(terms(), wish))
        number = payments.propose_payout(
            request.user,  # type: ignore[arg-type]
            terms(),
            wish,
            reason=request.POST.get("reason", ""),
        )
    except PayoutError as error:
        return _page(request, refusal=refusal_text(error), status=400)
    except NotPermittedError as error:
        raise PermissionDenied from error
    messages.success(request, _("Payout %(number)d is proposed; somebody else must approve it.") % {"number": number})
    return redirect(f"/pool/payouts/{number}/")


def _page(request: HttpRequest, *, plan: Plan | None = None, refusal: str = "", status: int = 200) -> HttpResponse:
    site_wide = current_scope().site_wide
    paid = [] if plan is None else sorted(plan.batch.paid, key=lambda each: -each.amount_sat)
    content = content_of(
        payments=payment_rows.payments(limit=100),
        coins=payment_rows.coin_totals() if site_wide else None,
        may_propose=site_wide and request.user.may(Permission.PAYOUT_PROPOSE),  # type: ignore[union-attr]
        plan=plan,
        paid=paid[:100],
        paid_left_out=max(0, len(paid) - 100),
        waiting=[] if plan is None else [(name, WAITING.get(why, why)) for name, why in plan.waiting.items()][:100],
        form=request.POST,
        terms=terms() if site_wide else None,
        refusal=refusal,
    )
    return render(request, "pages/pool_payouts.html", content, status=status)


def terms() -> PayingTerms:
    """On what terms the site pays."""
    return terms_of(settings.CONFIG)


def wish_of(request: HttpRequest) -> Wish:
    """What the form asks for. Raises PayoutRefusedError."""
    text, payer = request.POST.get("fee", "").strip().replace(",", "."), request.POST.get("payer", "")
    try:
        fee = Decimal(text) if text else None
    except InvalidOperation as error:
        raise PayoutRefusedError(f"fee {text[:20]!r}: no number", _("State the fee as a number.")) from error
    if fee is not None and not (fee.is_finite() and 0 < fee <= FEE_SAT_VB_MAX):
        raise PayoutRefusedError(f"fee {fee}: out of range", _("State the fee as a number."))
    names = (name.strip() for name in request.POST.get("accounts", "").replace("\0", "").splitlines())
    asked = tuple(dict.fromkeys(name for name in names if name))
    if len(asked) > ACCOUNTS_MAX:
        text = _("Name %(n)d accounts at most; without any name all are paid.") % {"n": ACCOUNTS_MAX}
        raise PayoutRefusedError(f"{len(asked)} accounts named; at most {ACCOUNTS_MAX}", text)
    unknown = [name for name in asked if selectors.account(name) is None]
    if unknown:
        text = _("No account is named “%(name)s”.") % {"name": unknown[0][:80]}
        raise PayoutRefusedError(f"account {unknown[0][:80]}: not known", text)
    return Wish(
        fee_sat_kvb=None if fee is None else round(fee * 1000),
        payer=FeePayer(payer) if payer in set(FeePayer) else None,
        accounts=asked,
        in_advance=request.POST.get("in_advance") == "1",
    )


def refusal_text(error: PayoutError) -> str:
    """Why a payout cannot be, in the reader's language where there are words for it."""
    if isinstance(error, ShortOfCoinsError):
        amount, unit = figures.amount(error.missing_sat)
        return _("The coins that may be spent now are %(amount)s %(unit)s short.") % {"amount": amount, "unit": unit}
    if isinstance(error, NothingToPayError):
        text = ngettext(
            "Nothing may be paid now; %(n)d account waits.",
            "Nothing may be paid now; %(n)d accounts wait.",
            error.waiting,
        )
        return text % {"n": error.waiting}
    return error.text if isinstance(error, PayoutRefusedError) else str(error)


@require_safe
@needs(Permission.POOL_VIEW)
def payout(request: HttpRequest, payment_id: int) -> HttpResponse:
    """One payout: how far it is, whom it pays, and what may be done now."""
    return _payout(request, payment_id)


def _payout(request: HttpRequest, payment_id: int, *, refusal: str = "", status: int = 200) -> HttpResponse:
    row = payment_rows.payment(payment_id)
    if row is None:
        raise Http404
    user: Any = request.user
    site_wide = current_scope().site_wide
    approvals = payment_rows.approvals(payment_id) if site_wide else []
    may_approve = site_wide and row.state is PaymentState.DRAFT and user.may(Permission.PAYOUT_APPROVE)
    entries = ledger.entries(f"payment:{payment_id}", limit=30) if user.may(Permission.LEDGER_VIEW) else []
    names = actor_names(entries)
    content = content_of(
        payment=row,
        way=way_of(row, approvals),
        outputs=payment_rows.outputs(payment_id, limit=200),
        approvals=approvals,
        is_own=row.proposed_by == user.actor,
        has_approved=any(each.approved_by == user.actor for each in approvals),
        may_approve=may_approve,
        may_carry=site_wide and row.state is PaymentState.APPROVED and user.may(Permission.PAYOUT_PROPOSE),
        may_cancel=site_wide and row.state.reserves and any(user.may(each) for each in payments.CANCELLING),
        entries=[(entry, sentence(entry.action), names.get(entry.actor, entry.actor)) for entry in entries],
        refusal=refusal,
    )
    return render(request, "pages/pool_payout.html", content, status=status)


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a payout's way: ``mark`` is ``done``, ``now`` for what it waits for, or empty; None: no time known."""

    label: Promise
    mark: str
    at: datetime | None


def way_of(row: PaymentRow, approvals: Sequence[ApprovalRow]) -> list[Step]:
    """The steps of a payout's way; nothing for one that ended otherwise."""
    if not row.state.is_open:
        return []
    steps = list(wording.STEPS)
    at = steps.index(row.state)
    approved = max((each.approved_at for each in approvals), default=None)
    moments = (row.proposed_at, approved, row.signed_at, row.broadcast_at, row.confirmed_at)
    marks = ["done" if place <= at else "now" if place == at + 1 else "" for place in range(len(steps))]
    return [
        Step(wording.STEPS[state], mark, moment if mark == "done" else None)
        for state, mark, moment in zip(steps, marks, moments, strict=True)
    ]


def _step(request: HttpRequest, payment_id: int, do: Callable[[Any], str]) -> HttpResponse:
    """Do one step; show the payout again, with what happened."""
    try:
        said = do(request.user)
    except PayoutError as error:
        return _payout(request, payment_id, refusal=refusal_text(error), status=400)
    except UnknownPaymentError as error:
        raise Http404 from error
    except NotPermittedError as error:
        raise PermissionDenied from error
    messages.success(request, said)
    return redirect(f"/pool/payouts/{payment_id}/")


def _require_site() -> None:
    """A tenant has no say on payouts, whatever the role; the payout looks as if it were not there."""
    if not current_scope().site_wide:
        raise Http404


@require_POST
@needs(Permission.POOL_VIEW)
def approve(request: HttpRequest, payment_id: int) -> HttpResponse:
    """Agree to exactly the transaction that was shown."""
    _require_site()

    def do(user: Any) -> str:
        txid = request.POST.get("unsigned_txid", "")
        state = payments.approve_payout(user, terms(), payment_id, unsigned_txid=txid)
        done = state is not PaymentState.DRAFT
        return _("Approved; it may be signed now.") if done else _("Approved; others must approve it too.")

    return _step(request, payment_id, do)


@require_POST
@needs(Permission.POOL_VIEW)
def export(request: HttpRequest, payment_id: int) -> HttpResponse:
    """The file to be signed outside (PSBT)."""
    _require_site()
    try:
        text = payments.export_payout(request.user, terms(), payment_id)  # type: ignore[arg-type]
    except PayoutError as error:
        return _payout(request, payment_id, refusal=refusal_text(error), status=400)
    except UnknownPaymentError as error:
        raise Http404 from error
    except NotPermittedError as error:
        raise PermissionDenied from error
    answer = HttpResponse(text + "\n", content_type="text/plain; charset=ascii")
    answer["Content-Disposition"] = f'attachment; filename="payout-{payment_id}.psbt.txt"'
    return answer


@require_POST
@needs(Permission.POOL_VIEW)
def bring_back(request: HttpRequest, payment_id: int) -> HttpResponse:
    """The signed file, as a file or as text; several where each holds other signatures."""
    _require_site()

    def do(user: Any) -> str:
        files = [_psbt_text(each.read(FILE_BYTES_MAX)) for each in request.FILES.getlist("files")]
        files += request.POST.get("text", "").split()
        if not files:
            raise PayoutRefusedError("import: no file", _("Choose the signed file, or paste its text."))
        txid = payments.import_signed(user, terms(), payment_id, files)
        return _("The signatures hold. The transaction is %(txid)s and goes out next.") % {"txid": txid}

    return _step(request, payment_id, do)


def _psbt_text(content: bytes) -> str:
    """A signed file as base64: wallets write it as text, or as the bytes themselves."""
    if content.startswith(b"psbt\xff"):
        return base64.b64encode(content).decode()
    return content.decode("ascii", "replace").strip()


@require_POST
@needs(Permission.POOL_VIEW)
def cancel(request: HttpRequest, payment_id: int) -> HttpResponse:
    """Give it up."""
    _require_site()

    def do(user: Any) -> str:
        payments.cancel_payout(user, terms(), payment_id, reason=request.POST.get("reason", ""))
        return _("The payout is cancelled; its amounts are free again.")

    return _step(request, payment_id, do)


@require_http_methods(["POST"])
@needs(Permission.POOL_VIEW)
def set_address(request: HttpRequest) -> HttpResponse:
    """State where an account is paid."""
    _require_site()
    name = request.POST.get("account", "").replace("\0", "")
    try:
        address, reason = request.POST.get("address", "").strip(), request.POST.get("reason", "")
        payments.set_payout_address(request.user, terms(), name, address, reason=reason)  # type: ignore[arg-type]
    except PayoutRefusedError as error:
        messages.error(request, error.text)
    except UnknownPaymentError as error:
        raise Http404 from error
    except NotPermittedError as error:
        raise PermissionDenied from error
    else:
        messages.success(request, _("The address of %(name)s is set.") % {"name": name})
    return redirect(f"/pool/account/{quote(name, safe='')}/")
