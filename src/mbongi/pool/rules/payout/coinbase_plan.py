"""Whom the next blocks' coinbase pays directly: the accounts' part of the work, as the books stood lately. Pure.

The accounts write the plan, the pool makes the outputs of it for each template. What a block's window then gives each
account beside what its coinbase paid is the balances' part, so a plan that is a minute old costs nobody a satoshi.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from mbongi.pool.errors import PayoutError
from mbongi.pool.rules.payout.amounts import PPM
from mbongi.pool.rules.payout.outputs import OutputLimits, Recipient, coinbase_split
from mbongi.wire.bitcoin.transaction import TxOut

PLAN_FILE: Final = "coinbase.json"
"""In ``data_dir/pool``; replaced as a whole."""
OUTPUTS_MAX: Final = 20
OUTPUTS_WEIGHT_MAX: Final = 2_800
"""Of the 4,000 that a template leaves for header and coinbase; the rest is script, commitment and the pool's output."""
PLAN_S_MAX: Final = 3_600
"""An older plan pays nobody: the accounts have been down, and the work has moved on."""
_VERSION: Final = 1
_REST: Final = ""


class PlannedOutput(msgspec.Struct, frozen=True, kw_only=True):
    """An account's claim: its script in hex, its work of the window's, what it gives away, and what it owes [sat]."""

    script: str
    work: str
    donation_ppm: int = 0
    minimum_sat: int = 0
    debt_sat: int = 0


class CoinbasePlan(msgspec.Struct, frozen=True, kw_only=True):
    """The claims with the most work, largest first; work is decimal text. ``total_work`` is the whole window's."""

    version: int = _VERSION
    made_at_ms: int
    fee_ppm: int
    total_work: str
    outputs: tuple[PlannedOutput, ...]

    def encoded(self) -> bytes:
        """As it stands in the file."""
        return msgspec.json.encode(self)


def decode_plan(data: bytes) -> CoinbasePlan:
    """A plan from its file. Raises PayoutError for one that cannot be used."""
    try:
        plan = msgspec.json.decode(data, type=CoinbasePlan)
        total, works = int(plan.total_work), [int(each.work) for each in plan.outputs]
        scripts = {bytes.fromhex(each.script) for each in plan.outputs}
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise PayoutError(f"coinbase plan: {error}") from error
    if plan.version != _VERSION:
        raise PayoutError(f"coinbase plan: version {plan.version}; expected {_VERSION}")
    ppm = [plan.fee_ppm, *(each.donation_ppm for each in plan.outputs)]
    sat = [each.debt_sat for each in plan.outputs] + [each.minimum_sat for each in plan.outputs]
    if min(works, default=0) < 0 or total <= 0 or sum(works) > total or min(sat, default=0) < 0:
        raise PayoutError(f"coinbase plan: work {sum(works)} of {total}; expected parts, and no amount below 0")
    if not 0 <= min(ppm) <= max(ppm) <= PPM or len(scripts) != len(plan.outputs):
        raise PayoutError(f"coinbase plan: fee or donation outside 0..{PPM} ppm, or a script twice")
    return plan


def coinbase_outputs(plan: CoinbasePlan, value_sat: int, pool_script: bytes, *, limit: int) -> Sequence[TxOut]:
    """The outputs of a coinbase worth ``value_sat``: the pool's own first, then at most ``limit`` accounts'.

    Each account gets its part of the work, less fee and donation, rounded down; a debt is kept back. The pool's output
    is the rest. Together they are ``value_sat``.
    """
    total_work = int(plan.total_work)
    net_sat = value_sat - value_sat * plan.fee_ppm // PPM
    earned: dict[str, int] = {}
    for each in plan.outputs:
        sat = net_sat * int(each.work) // total_work
        earned[each.script] = sat - sat * each.donation_ppm // PPM
    recipients = {each.script: Recipient(len(each.script) // 2, each.minimum_sat) for each in plan.outputs}
    debts = {each.script: -each.debt_sat for each in plan.outputs}
    earned[_REST] = value_sat - sum(earned.values())
    limits = OutputLimits(min(limit, OUTPUTS_MAX), OUTPUTS_WEIGHT_MAX)
    found = coinbase_split(earned, debts, recipients, limits)
    return [TxOut(found.pool_sat, pool_script), *(TxOut(sat, bytes.fromhex(script)) for script, sat in found.outputs)]
