"""What the next block may hold: a node's template, checked by us before any miner works on it. Pure.

Hashes are bytes in internal order, as everywhere in the pool; targets are whole numbers.
"""

import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from mbongi.pool.errors import TemplateError
from mbongi.pool.values import BLOCK_FUTURE_S_MAX, TIME_MARGIN_S
from mbongi.wire.bitcoin.hashing import coinbase_branch, from_display, root_of_branch, sha256d
from mbongi.wire.bitcoin.script import witness_commitment_script
from mbongi.wire.bitcoin.target import TARGET_MAX, target_of_bits, work_of_target
from mbongi.wire.bitcoin.transaction import compact_size
from mbongi.wire.bitcoind import BlockTemplate, TemplateTransaction
from mbongi.wire.errors import WireError

WITNESS_RESERVED = bytes(32)
"""The coinbase's witness: BIP 141 leaves its meaning to later rules, every node gives zeros."""
COINBASE_WEIGHT_RESERVED = 4_000
"""Weight that a template must leave for header and coinbase; nodes reserve as much by default."""
COINS_SAT_MAX = 21_000_000 * 100_000_000
"""Source: Bitcoin Core, MAX_MONEY."""
_NULL_HASH = bytes(32)


@dataclass(frozen=True, slots=True)
class Template:
    """The next block but for its coinbase and nonce.

    ``target`` is what a hash must meet to be handed in as a block: the chain's, or a harder one on a practice chain,
    where every other hash would be one.
    ``transactions_hex`` stand in the block one after the other behind the coinbase, in ASCII hex; templates of one tip
    share those that they have in common. ``branch`` leads from the coinbase's id to the merkle root.
    """

    height: int
    previous_hash: bytes
    version: int
    bits: int
    target: int
    time_s: int
    time_min_s: int
    value_sat: int
    fees_sat: int
    branch: tuple[bytes, ...]
    commitment_script: bytes | None
    """None where the block holds no witness and the node asked for no commitment."""
    transaction_count: int
    transactions_hex: tuple[bytes, ...]
    weight: int
    sigops: int
    coinbase_version: int = 2
    coinbase_sequence: int = 0xFFFF_FFFF
    coinbase_lock_time: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether it holds nothing but the coinbase, as the first work on a new tip does."""
        return self.transaction_count == 0

    @property
    def count_prefix(self) -> bytes:
        """How many transactions the block holds, coinbase included, as a block states it."""
        return compact_size(self.transaction_count + 1)


class KnownTransactions:
    """The last template's: what the next one holds too is neither hashed nor stored a second time."""

    __slots__ = ("_by_stated_id",)

    def __init__(self) -> None:
        self._by_stated_id: dict[str, tuple[bytes, bytes]] = {}

    def checked(self, transactions: Sequence[TemplateTransaction]) -> tuple[list[bytes], tuple[bytes, ...]]:
        """The witness ids, each computed from its transaction's bytes, and these bytes in hex.

        Raises TemplateError for a transaction that is not what the node states, or comes before what it spends.
        """
        known: dict[str, tuple[bytes, bytes]] = {}
        for place, each in enumerate(transactions):
            stated, data = each.hash or each.txid, bytes(each.hex)
            found = self._by_stated_id.get(stated)
            known[stated] = found if found is not None and found[1] == data else _checked(place, stated, data)
            depends = each.depends
            if depends and not all(0 < parent <= place for parent in depends):
                raise TemplateError(f"template: transaction {place + 1} comes before one that it spends ({depends})")
        if len(known) != len(transactions):
            raise TemplateError(f"template: {len(transactions) - len(known)} of its transactions stand there twice")
        self._by_stated_id = known
        return [each[0] for each in known.values()], tuple(each[1] for each in known.values())


def template_of(
    reply: BlockTemplate, *, target_max: int = TARGET_MAX, known: KnownTransactions | None = None
) -> Template:
    """Check a node's template and make ours of it; its target is lowered to ``target_max`` where it is easier.

    ``known`` are the transactions of the template before, and of this one afterwards.

    Raises TemplateError for one that contradicts itself: a hash that is not its transaction's, an order in which a
    transaction comes before what it spends, a wrong commitment, more than the limits, a value below the fees.
    """
    try:
        return _template_of(reply, target_max, known or KnownTransactions())
    except (TemplateError, WireError):
        raise
    except ValueError as error:  # of a field that should be hex
        raise TemplateError(f"template {reply.height}: {error}") from error


def _template_of(reply: BlockTemplate, target_max: int, known: KnownTransactions) -> Template:
    _require_range(reply)
    transactions = reply.transactions
    bits, target = _target(reply)
    witness_ids, transactions_hex = known.checked(transactions)
    commitment = _commitment(reply, witness_ids)
    weight = sum(each.weight or 4 * len(each.hex) // 2 for each in transactions)
    sigops = sum(max(each.sigops, 0) for each in transactions)
    _require_limits(reply, weight, sigops)
    fees_sat = sum(each.fee for each in transactions) if reply.fees is None else reply.fees
    if not 0 <= fees_sat <= reply.coinbasevalue:
        raise TemplateError(f"template {reply.height}: fees {fees_sat} sat of a value of {reply.coinbasevalue} sat")
    if reply.mintime > reply.curtime:
        raise TemplateError(f"template {reply.height}: least time {reply.mintime} after its time {reply.curtime}")
    return Template(
        height=reply.height,
        previous_hash=from_display(reply.previousblockhash),
        version=reply.version,
        bits=bits,
        target=min(target, target_max),
        time_s=reply.curtime,
        time_min_s=reply.mintime,
        value_sat=reply.coinbasevalue,
        fees_sat=fees_sat,
        branch=tuple(coinbase_branch([from_display(each.txid) for each in transactions])),
        commitment_script=commitment,
        transaction_count=len(transactions),
        transactions_hex=transactions_hex,
        weight=weight,
        sigops=sigops,
        coinbase_version=reply.coinbase_version,
        coinbase_sequence=reply.coinbase_sequence,
        coinbase_lock_time=reply.coinbase_lock_time,
    )


def require_on_chain(template: Template, *, height: int, work_least: int, halving_blocks: int, now_s: float) -> None:
    """Check a template against what is known of the chain beside the node's word. Raises TemplateError.

    ``work_least`` is what the next block's target must ask for at least, in hashes (0: unknown). A node that lies in
    templates would take the block made of them in proposal mode, too.
    """
    if template.height != height:
        raise TemplateError(f"template {template.height}: expected one for block {height}")
    work = work_of_target(target_of_bits(template.bits))
    if work < work_least:
        raise TemplateError(f"template {height}: its target takes {work} hashes; expected {work_least} or more")
    value_sat_max = subsidy_sat(height, halving_blocks=halving_blocks) + template.fees_sat
    if template.value_sat > value_sat_max:
        raise TemplateError(f"template {height}: a value of {template.value_sat} sat; at most {value_sat_max} sat")
    if template.time_s > now_s + BLOCK_FUTURE_S_MAX - TIME_MARGIN_S:
        raise TemplateError(f"template {height}: its time is {template.time_s - now_s:.0f} s ahead of our clock")


def empty_template(
    *,
    height: int,
    previous_hash: bytes,
    version: int,
    bits: int,
    time_s: int,
    time_min_s: int,
    subsidy_sat: int,
    target_max: int = TARGET_MAX,
) -> Template:
    """The first work on a new tip, before the node has told what the next block may hold: nothing but the coinbase."""
    return Template(
        height=height,
        previous_hash=previous_hash,
        version=version,
        bits=bits,
        target=min(target_of_bits(bits), target_max),
        time_s=max(time_s, time_min_s),
        time_min_s=time_min_s,
        value_sat=subsidy_sat,
        fees_sat=0,
        branch=(),
        commitment_script=None,
        transaction_count=0,
        transactions_hex=(),
        weight=0,
        sigops=0,
    )


def subsidy_sat(height: int, *, halving_blocks: int) -> int:
    """What a block at this height may create [sat]; halving every 210,000 blocks (regtest: 150).

    Source: Bitcoin Core, GetBlockSubsidy.
    """
    halvings = height // halving_blocks
    return 0 if halvings >= 64 else (50 * 100_000_000) >> halvings


def _require_range(reply: BlockTemplate) -> None:
    """A header holds no larger numbers, and no coinbase pays more than all coins."""
    for name, value, limit in (
        ("version", reply.version, 1 << 32),
        ("time", reply.curtime, 1 << 32),
        ("height", reply.height, 1 << 31),
        ("value", reply.coinbasevalue, COINS_SAT_MAX + 1),
    ):
        if not 0 <= value < limit:
            raise TemplateError(f"template {reply.height}: {name} {value}; expected 0..{limit - 1}")


def _target(reply: BlockTemplate) -> tuple[int, int]:
    bits = int(reply.bits, 16)
    target = target_of_bits(bits)
    if reply.target and int(reply.target, 16) != target:
        raise TemplateError(f"template {reply.height}: target {reply.target} is not that of bits {reply.bits}")
    return bits, target


def _checked(place: int, stated_id: str, data: bytes) -> tuple[bytes, bytes]:
    try:
        computed, stated = sha256d(binascii.unhexlify(data)), from_display(stated_id)
    except ValueError as error:
        raise TemplateError(f"template: transaction {place + 1}: {error}; expected hex") from error
    if computed != stated:
        raise TemplateError(f"template: transaction {place + 1}: its bytes hash to another id than {stated_id}")
    return computed, data


def _commitment(reply: BlockTemplate, witness_ids: list[bytes]) -> bytes | None:
    """The witness commitment's script (BIP 141), computed by us; what the node states must be the same."""
    has_witness = any(each.hash and each.hash != each.txid for each in reply.transactions)
    if not has_witness and not reply.default_witness_commitment:
        return None
    root = root_of_branch(_NULL_HASH, coinbase_branch(witness_ids))
    script = witness_commitment_script(root, WITNESS_RESERVED)
    stated = reply.default_witness_commitment
    if stated and bytes.fromhex(stated) != script:
        raise TemplateError(
            f"template {reply.height}: witness commitment {stated}; its transactions give {script.hex()}"
        )
    return script


def _require_limits(reply: BlockTemplate, weight: int, sigops: int) -> None:
    limit = (reply.weightlimit or 4_000_000) - COINBASE_WEIGHT_RESERVED
    if weight > limit:
        raise TemplateError(f"template {reply.height}: weight {weight}; at most {limit} beside the coinbase")
    limit = reply.sigoplimit or 80_000
    if sigops > limit:
        raise TemplateError(f"template {reply.height}: {sigops} signature operations; at most {limit}")


def fingerprint(template: Template) -> bytes:
    """Names the template's content, so that the same one is not sent to miners twice."""
    digest = sha256(template.previous_hash)
    digest.update(b"".join(template.branch))  # all ids but the coinbase's
    digest.update(template.commitment_script or b"")  # and their witnesses
    digest.update(b"%d %d %d" % (template.version, template.bits, template.value_sat))
    return digest.digest()
