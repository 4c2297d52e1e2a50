"""Who is paid in the coinbase itself, who by a later transaction, and whose amount waits. Pure.

What is not paid at once goes to the pool's own output, which backs the balances: in every block the changes of all
balances add up to what the pool's output holds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mbongi.pool.errors import PayoutError

WEIGHT_PER_BYTE: Final = 4
"""Of what is no witness. Source: BIP 141."""
VALUE_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where an account wants its money, and from what amount on.

    ``minimum_sat`` is the larger of the account's own wish and its script's dust limit.
    """

    script_bytes: int
    minimum_sat: int

    @property
    def output_weight(self) -> int:
        """What one more output to it weighs."""
        length_bytes = 1 if self.script_bytes < 0xFD else 3
        return (VALUE_BYTES + length_bytes + self.script_bytes) * WEIGHT_PER_BYTE


@dataclass(frozen=True, slots=True)
class OutputLimits:
    """What a coinbase may hold beside the pool's own output: some firmware refuses long ones."""

    outputs: int
    weight: int


@dataclass(frozen=True, slots=True)
class CoinbaseSplit:
    """What a coinbase pays at once (in the order of its outputs), what the pool keeps, and how balances change.

    ``changes`` add up to ``pool_sat``; one below 0 is a balance that this coinbase pays off.
    """

    outputs: tuple[tuple[str, int], ...]
    pool_sat: int
    changes: dict[str, int]


def coinbase_split(
    earned: Mapping[str, int],
    balances: Mapping[str, int],
    recipients: Mapping[str, Recipient],
    limits: OutputLimits,
) -> CoinbaseSplit:
    """Pay the largest claims directly, as many as fit; the rest becomes balances.

    ``earned`` is the whole reward by account, ``balances`` what is owed from before; an account without a recipient
    waits. A direct output holds all that the account earned and, as far as the others leave money for it, its balance.
    A debt (a balance below 0, from a block that was orphaned after it was paid out) is kept back first. The pool's
    output may be as small as it likes: nodes' dust rule is not about coinbases. Raises PayoutError for an amount
    below 0.
    """
    if min(earned.values(), default=0) < 0:
        raise PayoutError("coinbase: an account earned less than 0 sat")
    claims = {account: sat + balances.get(account, 0) for account, sat in earned.items()}
    paid = {account: min(earned[account], claims[account]) for account in _fitting(claims, recipients, limits)}
    pool_sat = sum(earned.values()) - sum(paid.values())
    for account, direct_sat in paid.items():
        more_sat = min(claims[account] - direct_sat, pool_sat)
        paid[account] = direct_sat + more_sat
        pool_sat -= more_sat
    changes = {account: sat - paid.get(account, 0) for account, sat in earned.items() if sat != paid.get(account, 0)}
    return CoinbaseSplit(tuple(paid.items()), pool_sat, changes)


def payable(
    balances: Mapping[str, int], recipients: Mapping[str, Recipient], limits: OutputLimits
) -> tuple[tuple[str, int], ...]:
    """The balances that one batched transaction pays off in full, largest first; the others are carried over."""
    return tuple((account, balances[account]) for account in _fitting(balances, recipients, limits))


def _fitting(claims: Mapping[str, int], recipients: Mapping[str, Recipient], limits: OutputLimits) -> Iterable[str]:
    """The accounts with the largest claims at or above their minimum, while they fit; of equal ones the first name."""
    weight = outputs = 0
    for account in sorted(claims, key=lambda name: (-claims[name], name)):
        recipient = recipients.get(account)
        if recipient is None or claims[account] < max(recipient.minimum_sat, 1):
            continue
        if outputs == limits.outputs or weight + recipient.output_weight > limits.weight:
            return
        weight += recipient.output_weight
        outputs += 1
        yield account
