"""States of blocks, nodes and payments, why shares are rejected, and what programs give as their reasons, in the
reader's language.

Each has a style: the name of the machine's state that pages colour alike.
"""

import re
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mbongi.pool.rules.block_record import BlockState
from mbongi.pool.rules.heads import Standing
from mbongi.pool.values import FLOAT_KEYS, PRACTICE_ADDRESS_REASON, PRACTICE_REASON, EntryKind, PaymentState, Scheme


@dataclass(frozen=True, slots=True)
class Words:
    """A state as it is shown."""

    label: Promise
    style: str


BLOCKS: dict[BlockState, Words] = {
    BlockState.FOUND: Words(_("Handed in"), "starting"),
    BlockState.REFUSED: Words(_("Refused"), "fault"),
    BlockState.IN_CHAIN: Words(_("In the chain"), "mining"),
    BlockState.BESIDE: Words(_("Beside the chain"), "unknown"),
    BlockState.SETTLED: Words(_("Settled"), "mining"),
    BlockState.MATURE: Words(_("Mature"), "mining"),
    BlockState.ORPHANED: Words(_("Orphaned"), "fault"),
}
STANDINGS: dict[Standing, Words] = {
    Standing.GOOD: Words(_("Good"), "mining"),
    Standing.UNHEARD: Words(_("Not heard yet"), "unknown"),
    Standing.SILENT: Words(_("Silent"), "fault"),
    Standing.WRONG_CHAIN: Words(_("Wrong chain"), "fault"),
    Standing.DOWNLOADING: Words(_("Downloading"), "starting"),
    Standing.QUIET: Words(_("No new block for long"), "unknown"),
    Standing.BEHIND: Words(_("Behind"), "unknown"),
    Standing.ALONE: Words(_("Alone with its head"), "fault"),
    Standing.FORGED: Words(_("Without proof of work"), "fault"),
    Standing.UNFIT: Words(_("Without usable templates"), "fault"),
}
PAYMENTS: dict[PaymentState, Words] = {
    PaymentState.DRAFT: Words(_("To be approved"), "starting"),
    PaymentState.APPROVED: Words(_("To be signed"), "sleeping"),
    PaymentState.SIGNED: Words(_("Signed"), "sleeping"),
    PaymentState.BROADCAST: Words(_("On its way"), "starting"),
    PaymentState.CONFIRMED: Words(_("Confirmed"), "mining"),
    PaymentState.FAILED: Words(_("Failed"), "fault"),
    PaymentState.CANCELLED: Words(_("Cancelled"), "off"),
}
STEPS: dict[PaymentState, Promise] = {
    PaymentState.DRAFT: _("Proposed"),
    PaymentState.APPROVED: _("Approved"),
    PaymentState.SIGNED: _("Signed"),
    PaymentState.BROADCAST: _("Sent"),
    PaymentState.CONFIRMED: _("Confirmed"),
}
"""What has happened once a payout is in a state, in the order of its way."""
ENTRIES: dict[EntryKind, Promise] = {
    EntryKind.CREDIT: _("Earned"),
    EntryKind.DEBIT: _("Paid out"),
    EntryKind.REVERSAL: _("Undone"),
}
DEPOSITED: Promise = _("Put in")
"""A credit of coins that the operator put in."""
SCHEMES: dict[Scheme, str] = {
    Scheme.PPLNS: "PPLNS",
    Scheme.TIDES: "TIDES",
    Scheme.SOLO: "Solo",
    Scheme.FPPS: "FPPS",
}
REASONS: dict[str, Promise] = {
    "stale": _("stale"),
    "unknown_job": _("unknown job"),
    "duplicate": _("duplicate"),
    "low_difficulty": _("low difficulty"),
    "other": _("other"),
}
"""Why shares are rejected, by ``telemetry.REASONS``, and the rest."""

PERSONS: dict[str, Promise] = {
    "practice:proposer": _("practice person who proposes"),
    "practice:approver": _("practice person who approves"),
}
_PROGRAMS_REASONS: dict[str, Promise] = {
    PRACTICE_REASON: _("practice: balances are paid every few minutes"),
    PRACTICE_ADDRESS_REASON: _("practice: a practice address, since none is stated"),
}


_NODES_REASONS: tuple[tuple[re.Pattern[str], Promise], ...] = (
    (re.compile(r"no answer within (?P<s>[0-9.]+) s"), _("no answer within %(s)s s")),
    (re.compile(r"no answer for (?P<s>[0-9.]+) s"), _("no answer for %(s)s s")),
    (
        re.compile(r"no answer to the connection within (?P<s>[0-9.]+) s"),
        _("no answer to the connection within %(s)s s"),
    ),
    (
        re.compile(r"at block (?P<at>\d+) of (?P<of>\d+), still downloading"),
        _("at block %(at)s of %(of)s, still downloading"),
    ),
    (
        re.compile(r"its last block is (?P<n>\d+) minutes old; is it cut off from its peers\?"),
        _("its last block is %(n)s minutes old; is it cut off from its peers?"),
    ),
)


def node_reason_words(reason: str) -> str:
    """Why a node is not followed, or why none is; what quotes a node or the system stays in their words."""
    return "; ".join(map(_node_reason, reason.split("; ")))


def _node_reason(reason: str) -> str:
    head, colon, rest = reason.rpartition(": ")
    for pattern, text in _NODES_REASONS:
        if found := pattern.fullmatch(rest):
            return re.sub("^node ", f"{_('node')} ", head) + colon + str(text) % found.groupdict()
    return reason


def reason_words(reason: str) -> str:
    """A reason from the record; a program's in the reader's language, a person's as they wrote it."""
    return str(_PROGRAMS_REASONS.get(reason, reason))


def entry_words(kind: EntryKind, key: str) -> Promise:
    """What an entry of the books records, by its kind and key."""
    return DEPOSITED if kind is EntryKind.CREDIT and key.startswith(FLOAT_KEYS) else ENTRIES[kind]


def standing_words(standing: str) -> Words:
    """A node's standing; a word that is not known is shown as it is not known."""
    try:
        return STANDINGS[Standing(standing)]
    except ValueError:
        return STANDINGS[Standing.UNHEARD]
