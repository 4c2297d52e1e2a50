"""Values of the pool domain. Pure: no Django, no sockets."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Reject(StrEnum):
    """Why a share was not accepted. A rejected share is counted and never paid."""

    STALE = "stale"
    """It is work on a chain tip that is no longer the tip."""
    UNKNOWN_JOB = "unknown_job"
    """We never gave that job to this connection, or gave it so long ago that it is forgotten."""
    DUPLICATE = "duplicate"
    LOW_DIFFICULTY = "low_difficulty"
    UNAUTHORIZED = "unauthorized"
    NOT_SUBSCRIBED = "not_subscribed"
    TIME_OUT_OF_RANGE = "time_out_of_range"
    VERSION_OUT_OF_RANGE = "version_out_of_range"
    MALFORMED = "malformed"
    UNAVAILABLE = "unavailable"
    """The pool cannot keep shares at present; accepting one that may be lost would be a lie."""
    UNCONFIRMED = "unconfirmed"
    """The link to the pool broke before its answer: whether it counts there is not known. Of proxies only."""


class Protocol(IntEnum):
    """How a share reached us. Stored by number, so numbers never change meaning."""

    STRATUM_V1 = 1
    STRATUM_V2 = 2


class Scheme(StrEnum):
    """How rewards are divided, see ``rules/payout/schemes.py``."""

    PPLNS = "pplns"
    TIDES = "tides"
    SOLO = "solo"
    FPPS = "fpps"


class EntryKind(StrEnum):
    """What an entry of the balances records."""

    CREDIT = "credit"
    """A block's or a period's earnings, less what its coinbase paid off directly."""
    DEBIT = "debit"
    """A payment."""
    REVERSAL = "reversal"
    """Another entry undone: its block was orphaned, its payment never confirmed."""


class PaymentState(StrEnum):
    """How far a payment is. Amounts are reserved while it is open, debited once it is broadcast."""

    DRAFT = "draft"
    """Proposed; others have to approve it."""
    APPROVED = "approved"
    """To be signed outside."""
    SIGNED = "signed"
    """The signatures are here, checked; it goes out next."""
    BROADCAST = "broadcast"
    """Debited, and handed to the nodes until one has it in a block; also again after its block was orphaned."""
    CONFIRMED = "confirmed"
    """In a block of the best chain."""
    FAILED = "failed"
    """It can never be in a block: what it spends is gone. Its debit is reversed."""
    CANCELLED = "cancelled"

    @property
    def reserves(self) -> bool:
        """Whether its amounts are set aside and not debited yet."""
        return self in {PaymentState.DRAFT, PaymentState.APPROVED, PaymentState.SIGNED}

    @property
    def is_open(self) -> bool:
        """Whether it is not given up."""
        return self not in {PaymentState.FAILED, PaymentState.CANCELLED}

    @property
    def is_debited(self) -> bool:
        """Whether its amounts are taken off the balances."""
        return self in {PaymentState.BROADCAST, PaymentState.CONFIRMED}


class CoinKind(StrEnum):
    """Where a coin of the pool's own comes from."""

    COINBASE = "coinbase"
    CHANGE = "change"
    FLOAT = "float"
    """Put in by the operator, to pay from before blocks' own coins may be spent."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """How far a shard's share log is read: a file by its number, and the bytes of it."""

    file: int = 0
    offset: int = 0


FEE_ACCOUNT = ".fee"
"""The pool's fees. No miner's account has a dot in its name, so nobody can sign in to the pool's own."""
DONATION_ACCOUNT = ".donations"
RESERVE_ACCOUNT = ".reserve"
"""What pays FPPS: it gets the blocks and what the operator puts aside, and pays for the shares."""
FLOAT_ACCOUNT = ".float"
"""What the operator put in as coins, see CoinKind.FLOAT."""
FLOAT_KEYS = "float:"
"""The keys of its entries begin so."""
UNKNOWN_WORKER = ".unknown"
"""Shares whose worker's name was lost with a damaged part of a share log."""


PRACTICE_REASON = "practice: balances are paid every few minutes"
"""Why the practice persons propose a payout; pages say it in the reader's language."""
PRACTICE_ADDRESS_REASON = "practice: a practice address, since none is stated"


def account_of(user_name: str) -> str:
    """The account that a worker mines for: its user name up to the first dot; dots at the beginning do not count."""
    if user_name == UNKNOWN_WORKER:
        return UNKNOWN_WORKER
    return user_name.lstrip(".").partition(".")[0] or "-"


VERSION_ROLLING_MASK = 0x1FFF_E000
"""The sixteen bits of a block's version that miners may change. Source: BIP 320."""
VERSION_GENERAL_MASK = 0x1FFF_FFE0
"""The twenty-four that Stratum V2 leaves to miners. Source: BIP 323."""
BLOCK_FUTURE_S_MAX = 7200
"""How far a block's time may lie ahead of the nodes' clocks. Source: Bitcoin Core, MAX_FUTURE_BLOCK_TIME."""
TIME_MARGIN_S = 300
"""What we keep back of that, for clocks that differ from ours."""
