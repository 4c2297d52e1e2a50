"""Signature operations, of which a block may hold so many: their count in scripts and their cost in transactions."""

from collections.abc import Sequence

from mbongi.wire.bitcoin.script import (
    OP_1,
    OP_16,
    OP_CHECKMULTISIG,
    OP_CHECKSIG,
    operations,
    p2sh_hash,
    witness_program,
)
from mbongi.wire.bitcoin.transaction import WITNESS_SCALE, Transaction
from mbongi.wire.errors import WireError

MULTISIG_KEYS_MAX = 20
"""Source: Bitcoin Core, MAX_PUBKEYS_PER_MULTISIG."""
_ONE = {OP_CHECKSIG, OP_CHECKSIG + 1}
_MANY = {OP_CHECKMULTISIG, OP_CHECKMULTISIG + 1}


def sigops_of_script(script: bytes, *, accurate: bool) -> int:
    """How many signatures a script may check, up to where it breaks off.

    A multisignature counts as the number of keys stated before it where ``accurate``, as 20 otherwise.
    Source: Bitcoin Core, CScript::GetSigOpCount.
    """
    total, last = 0, -1
    try:
        for operation, _ in operations(script):
            if operation in _ONE:
                total += 1
            elif operation in _MANY:
                total += last - OP_1 + 1 if accurate and OP_1 <= last <= OP_16 else MULTISIG_KEYS_MAX
            last = operation
    except WireError:
        return total  # nodes count what stands before the break
    return total


def sigop_cost(transaction: Transaction, spent_scripts: Sequence[bytes]) -> int:
    """What a transaction takes of a block's 80,000 (BIP 141).

    ``spent_scripts`` are those of the outputs that its inputs spend, in their order; a coinbase has none.
    Raises WireError for another number of them. Source: Bitcoin Core, GetTransactionSigOpCost.
    """
    scripts = [*(each.script for each in transaction.inputs), *(each.script for each in transaction.outputs)]
    cost = WITNESS_SCALE * sum(sigops_of_script(script, accurate=False) for script in scripts)
    if transaction.is_coinbase and not spent_scripts:
        return cost
    if len(spent_scripts) != len(transaction.inputs):
        raise WireError(f"sigop cost: {len(spent_scripts)} spent scripts for {len(transaction.inputs)} inputs")
    for each, spent in zip(transaction.inputs, spent_scripts, strict=True):
        redeem = _last_push(each.script) if p2sh_hash(spent) is not None else None
        if redeem is not None:
            cost += WITNESS_SCALE * sigops_of_script(redeem, accurate=True)
        cost += _witness_sigops(redeem or spent, each.witness)
    return cost


def _last_push(script: bytes) -> bytes | None:
    """What a script that does nothing but push leaves on top; None for another."""
    top = b""
    try:
        for operation, data in operations(script):
            if operation > OP_16:
                return None
            top = data
    except WireError:
        return None
    return top


def _witness_sigops(script: bytes, witness: Sequence[bytes]) -> int:
    match witness_program(script):
        case (0, program) if len(program) == 20:
            return 1
        case (0, program) if len(program) == 32 and witness:
            return sigops_of_script(witness[-1], accurate=True)
        case _:
            return 0
