"""The pool's part of the table of routes."""

from django.utils.translation import gettext_lazy as _

from mbongi.core.identity.values import Permission
from mbongi.pool.payments import CANCELLING
from mbongi.pool.rules.proof import ShareProof
from mbongi.pool.telemetry import SORTS
from mbongi.web.api import pool_structs as structs
from mbongi.web.api import pool_views as views
from mbongi.web.api.route import Parameter, Route, one_of, reading, whole
from mbongi.web.api.structs import Series
from mbongi.web.pages.pool_statement import SignedStatement

_LIMIT = Parameter("limit", whole(1, 1000, 50), _("rows of one answer"))
_OFFSET = Parameter("offset", whole(0, 2**31 - 1, 0), _("rows to pass over"))
_HOURS = Parameter("hours", whole(1, 24 * 31, 24), _("length of the series, up to now"))
_TEXT = {"type": "string", "maxLength": 255}
_SEARCH = Parameter("q", {"type": "string", "maxLength": 200}, _("text to find in the names"))
_SORT = Parameter("sort", one_of(*SORTS, *(f"-{one}" for one in SORTS)), _("order; a minus sign turns it round"))
_SEE, _PROPOSE, _APPROVE = Permission.POOL_VIEW, Permission.PAYOUT_PROPOSE, Permission.PAYOUT_APPROVE
_PAYOUT = "/pool/payouts/{id}"

POOL_ROUTES = (
    reading("/pool", views.pool, structs.PoolSummary, _SEE, _("The pool at a glance")),
    reading(
        "/pool/series",
        views.pool_series,
        Series,
        _SEE,
        _("The pool's hashrate over time, or an account's or worker's"),
        _HOURS,
        Parameter("account", _TEXT, _("only this account")),
        Parameter("worker", _TEXT, _("only this worker")),
    ),
    reading(
        "/pool/workers",
        views.pool_workers,
        structs.PoolWorkerList,
        _SEE,
        _("Workers by search and order"),
        _SEARCH,
        _SORT,
        _LIMIT,
        _OFFSET,
    ),
    reading("/pool/rejects", views.pool_rejects, structs.PoolRejectList, _SEE, _("Rejected shares by firmware")),
    reading(
        "/pool/accounts",
        views.pool_accounts,
        structs.PoolAccountList,
        _SEE,
        _("Accounts by name"),
        _SEARCH,
        _LIMIT,
        _OFFSET,
    ),
    reading(
        "/pool/account",
        views.pool_account,
        structs.PoolAccountFull,
        _SEE,
        _("One account with its newest changes"),
        Parameter("name", _TEXT, _("the account's name")),
        _LIMIT,
    ),
    reading("/pool/blocks", views.pool_blocks, structs.PoolBlockList, _SEE, _("Blocks, newest first"), _LIMIT),
    reading(
        "/pool/block",
        views.pool_block,
        structs.PoolBlockFull,
        _SEE,
        _("One block with its window and credits"),
        Parameter("hash", _TEXT, _("the block's hash")),
        Parameter("limit", whole(1, 1000, 1000), _("rows of each list, of those with most")),
        _OFFSET,
    ),
    reading(
        "/pool/proof",
        views.pool_proof,
        ShareProof,
        _SEE,
        _("The proof that a worker's work is counted"),
        Parameter("window", _TEXT, _("the window's name")),
        Parameter("worker", _TEXT, _("the worker's name")),
    ),
    reading("/pool/statement", views.pool_statement, SignedStatement, _SEE, _("The signed statement of the hashrate")),
    reading("/pool/payouts", views.pool_payouts, structs.PoolPayoutList, _SEE, _("Payouts, newest first"), _LIMIT),
    reading(_PAYOUT, views.pool_payout, structs.PoolPayout, _SEE, _("One payout and how far it is")),
    Route(
        "POST",
        "/pool/payouts",
        views.propose_payout,
        structs.PayoutPlan,
        _PROPOSE,
        _("Propose a payout, or show what it would be"),
        body=structs.PayoutRequest,
    ),
    Route(
        "POST",
        f"{_PAYOUT}/approve",
        views.approve_payout,
        structs.PoolPayout,
        _APPROVE,
        _("Agree to exactly one transaction"),
        body=structs.PayoutApproval,
    ),
    Route(
        "POST",
        f"{_PAYOUT}/export",
        views.export_payout,
        structs.UnsignedFile,
        _PROPOSE,
        _("The file to be signed outside"),
    ),
    Route(
        "POST",
        f"{_PAYOUT}/import",
        views.import_payout,
        structs.PoolPayout,
        _PROPOSE,
        _("Take the signed file back"),
        body=structs.SignedFiles,
    ),
    Route(
        "POST",
        f"{_PAYOUT}/cancel",
        views.cancel_payout,
        structs.PoolPayout,
        CANCELLING[0],
        _("Give a payout up"),
        body=structs.PayoutCancel,
        or_permissions=CANCELLING[1:],
    ),
)
