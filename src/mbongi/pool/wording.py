"""States of blocks, nodes and payments, and why shares are rejected, in the reader's language.

Each has a style: the name of the machine's state that pages colour alike.
"""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mbongi.pool.rules.block_record import BlockState
from mbongi.pool.rules.heads import Standing
from mbongi.pool.values import EntryKind, PaymentState, Scheme


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
ENTRIES: dict[EntryKind, Promise] = {
    EntryKind.CREDIT: _("Earned"),
    EntryKind.DEBIT: _("Paid out"),
    EntryKind.REVERSAL: _("Undone"),
}
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


def standing_words(standing: str) -> Words:
    """A node's standing; a word that is not known is shown as it is not known."""
    try:
        return STANDINGS[Standing(standing)]
    except ValueError:
        return STANDINGS[Standing.UNHEARD]
