"""Blocks' fates and FPPS's periods in the books: credited, undone, restored. Each change is one transaction."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

from django.db import transaction

from mbongi.base.clock import utc_now
from mbongi.core.bus import outbox
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.pool.entries import Occasion, credit, lock_books, reverse, stands
from mbongi.pool.events import BlockFound, BlockOrphaned, BlockSettled, BlockTaken
from mbongi.pool.importing import ACTOR, at_ms, enter_block, enter_worker, lock_imports
from mbongi.pool.models import Block, Entry, PlannedScript, Slice, Window
from mbongi.pool.rules.block_record import BlockRecord, BlockState
from mbongi.pool.rules.payout.amounts import Reward
from mbongi.pool.rules.payout.division import BlockDivision
from mbongi.pool.rules.tally import FoundBlock
from mbongi.pool.values import Scheme
from mbongi.pool.windows import by_account, last_slice_before, publish, sharing_terms, work_before, work_of_block
from mbongi.wire.bitcoin.address import Network
from mbongi.wire.bitcoin.target import target_of_bits, work_of_target

IN_CHAIN: Final = frozenset({BlockState.IN_CHAIN, BlockState.SETTLED, BlockState.MATURE})
"""While a block's state is one of these, its reward is credited."""


@dataclass(frozen=True, slots=True)
class Division:
    """How the pool divides rewards. ``window`` is in blocks; ``block_work_min`` what a practice chain's block takes."""

    scheme: Scheme
    fee_ppm: int
    window: Fraction
    block_work_min: int
    network: Network
    secret: bytes

    def network_work(self, bits: int) -> int:
        """What a block takes on average [hashes]."""
        return max(work_of_target(target_of_bits(bits)), self.block_work_min)

    def window_work(self, network_work: int) -> int:
        """How much work a reward is divided by [hashes], where a block takes ``network_work``."""
        return max(int(self.window * network_work), 1)


class Taken(StrEnum):
    """What became of a block's record."""

    BOOKED = "booked"
    UNCHANGED = "unchanged"
    WAITS = "waits"
    """The share that made the block is not taken in yet, so nobody knows the window."""


@transaction.atomic
def take_record(record: BlockRecord, division: Division) -> Taken:
    """Book what a block's record tells: facts, state, and the credits that follow from it, once."""
    lock_books()
    block = Block.objects.select_related("worker", "account").filter(hash=record.hash).first()
    if block is None:
        return Taken.WAITS
    if record.revision <= block.revision:
        return Taken.UNCHANGED
    before = BlockState(block.state)
    _note_facts(block, record, division)
    _note_state(block, record)
    block.save()
    _follow(block, record, division, before)
    return Taken.BOOKED


@transaction.atomic
def adopt_block(record: BlockRecord, share_work: int) -> bool:
    """Enter a block whose share is in no log: it was found while shares could not be written. False where it is known.

    Its window ends with the work that is taken in at present.
    """
    lock_imports()
    lock_books()
    if Block.objects.filter(hash=record.hash).exists():
        return False
    current = Slice.objects.select_for_update().order_by("-sequence").first()
    if current is None:
        return False
    current.is_closed = True
    current.save(update_fields=["is_closed"])
    worker = enter_worker(record.worker, record.time_ms)
    found = FoundBlock(record.hash, record.height, worker.pk, record.time_ms, share_work)
    enter_block(found, current.sequence, worker_id=worker.pk, account_id=worker.account_id)
    outbox.emit(
        BlockFound(
            hash=record.hash,
            height=record.height,
            worker=worker.name,
            account=worker.account.name,
            tenant_id=worker.tenant_id,
            at_ms=record.time_ms,
        )
    )
    ledger.append([NewEntry(ACTOR, "pool.block.adopt", f"pool-block:{record.hash}", "its share is in no log")])
    return True


def _note_facts(block: Block, record: BlockRecord, division: Division) -> None:
    block.bits, block.subsidy_sat, block.fees_sat = record.bits, record.subsidy_sat, record.fees_sat
    block.network_work = division.network_work(record.bits)
    block.coinbase_txid, block.own_output_index = record.coinbase_txid, record.pool_output
    if record.pool_output is not None:
        own = record.outputs[record.pool_output]
        block.own_output_sat, block.own_output_script = own.value_sat, bytes.fromhex(own.script)


def _note_state(block: Block, record: BlockRecord) -> None:
    block.revision, block.is_at_rest, block.confirmations = record.revision, record.is_at_rest, record.confirmations
    block.state, block.state_at = record.state, at_ms(record.since_ms)


def _follow(block: Block, record: BlockRecord, division: Division, before: BlockState) -> None:
    """Credit, undo or restore, whatever the state asks for and the books do not show yet."""
    key = credit_key(block.hash)
    was_credited, is_in_chain = stands(key), block.state in IN_CHAIN
    now_ms = int(utc_now().timestamp() * 1000)
    if is_in_chain and not was_credited:
        if Entry.objects.filter(key=key).exists():
            _flip(block, "restored", undoes=_last_undoing(key))
        else:
            _credit(block, record, division)
        outbox.emit(
            BlockTaken(
                hash=block.hash,
                height=block.height,
                reward_sat=block.reward_sat or 0,
                scheme=block.scheme,
                at_ms=now_ms,
            )
        )
    elif was_credited and not is_in_chain:
        _flip(block, "orphaned", undoes=key)
        outbox.emit(BlockOrphaned(hash=block.hash, height=block.height, at_ms=now_ms))
    if block.state == BlockState.MATURE and before is not BlockState.MATURE:
        outbox.emit(BlockSettled(hash=block.hash, height=block.height, at_ms=now_ms))


@transaction.atomic
def lose_block(block_hash: str) -> bool:
    """The chain that held a block is gone for good, and its record may be at rest: undo its credit. Whether it was new.

    A record that says otherwise later is booked like any other.
    """
    lock_books()
    block = Block.objects.select_related("worker", "account").get(hash=block_hash)
    if block.state not in IN_CHAIN:
        return False
    block.state, block.state_at, block.confirmations = BlockState.ORPHANED, utc_now(), 0
    block.save(update_fields=["state", "state_at", "confirmations"])
    if stands(credit_key(block_hash)):
        _flip(block, "orphaned", undoes=credit_key(block_hash))
    outbox.emit(BlockOrphaned(hash=block.hash, height=block.height, at_ms=int(utc_now().timestamp() * 1000)))
    return True


def credit_key(block_hash: str) -> str:
    """The key of the entry that credits a block."""
    return f"block:{block_hash}"


def _flip(block: Block, word: str, *, undoes: str) -> None:
    number = Entry.objects.filter(block=block).count()
    reason = f"the block is {block.state}, {block.confirmations} deep"
    reverse(f"{credit_key(block.hash)}:{word}:{number}", Occasion(ACTOR, reason, block.pk), undoes=undoes)


def _last_undoing(key: str) -> str:
    """The newest entry that undoes a block's credit, and so has to be undone itself."""
    return Entry.objects.filter(undoes__key=key).order_by("-id").values_list("key", flat=True)[0]


def _credit(block: Block, record: BlockRecord, division: Division) -> None:
    """Divide the block's reward, publish the window, book the credits."""
    scheme = division.scheme
    assert block.slice_id is not None
    network_work = division.network_work(record.bits)
    window_work = division.window_work(network_work)
    if scheme in {Scheme.PPLNS, Scheme.TIDES}:
        work = work_of_block(block, window_work, is_own_share_in=scheme is Scheme.PPLNS)
    else:  # the reward is not divided by a window: what is proven is the work since the block before
        window_work = max(int(block.work_since), 1)
        work = work_before(block.slice_id, window_work, since=last_slice_before(block.slice_id) + 1)
    accounts = by_account(work.by_worker)
    direct_sat, foreign_sat = _paid_directly(record)
    terms = sharing_terms(division.fee_ppm, {*accounts, block.account.name})
    fees_sat = record.fees_sat - foreign_sat
    reward = Reward(record.subsidy_sat + min(fees_sat, 0), max(fees_sat, 0))
    parts = BlockDivision(scheme, reward, block.account.name, accounts, window_work, terms, direct_sat)
    window = Window(
        name=block.hash,
        block=block,
        scheme=scheme,
        window_work=window_work,
        network_work=network_work,
        subsidy_sat=reward.subsidy_sat,
        fees_sat=reward.fees_sat,
        direct_sat=direct_sat,
        fee_ppm=division.fee_ppm,
        donations_ppm=dict(terms.donations_ppm),
    )
    publish(window, work, division.secret)
    block.scheme = scheme
    block.save(update_fields=["scheme"])
    reason = f"block {block.height} by {scheme}"
    occasion = Occasion(ACTOR, reason, block.pk, window.pk)
    # What the coinbase paid is paid, whatever the balance says.
    credit(credit_key(block.hash), parts.changes(), occasion, may_owe=tuple(direct_sat))


def _paid_directly(record: BlockRecord) -> tuple[dict[str, int], int]:
    """What the coinbase paid to accounts' own addresses, and what it paid to scripts that are nobody's here [sat]."""
    outputs: dict[str, int] = {}
    for place, output in enumerate(record.outputs):
        if place != record.pool_output and output.value_sat:
            outputs[output.script] = outputs.get(output.script, 0) + output.value_sat
    if not outputs:
        return {}, 0
    accounts = accounts_of_scripts(outputs)
    direct: dict[str, int] = {}
    foreign_sat = 0
    for script, sat in outputs.items():
        if script in accounts:
            direct[accounts[script]] = direct.get(accounts[script], 0) + sat
        else:
            foreign_sat += sat
    return direct, foreign_sat


def accounts_of_scripts(scripts: Iterable[str]) -> dict[str, str]:
    """Whose these scripts are, of all that coinbases were ever to pay to: account's name by script in hex."""
    found = PlannedScript.objects.filter(script__in=list(scripts))
    return dict(found.values_list("script", "account__name"))
