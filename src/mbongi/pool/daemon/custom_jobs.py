"""The custom jobs of one process: taken for a token, mined on until the tip changes.

One job for each block that miners bring, whoever mines on it: what was counted once can never count again. What grows
has a limit: jobs per tip, and the bytes of the transactions kept so that we can hand a block in ourselves.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mbongi.pool.errors import CustomJobError
from mbongi.pool.rules.custom import (
    EXTRANONCE_BYTES,
    CustomCoinbase,
    custom_template,
    digest_of,
    require_plausible_fees,
    value_sat,
)
from mbongi.pool.rules.job import Job
from mbongi.pool.rules.template import Template, subsidy_sat
from mbongi.pool.rules.tokens import Kind, Tokens
from mbongi.wire.bitcoin.transaction import TxOut, compact_size
from mbongi.wire.stratum_v2 import mining
from mbongi.wire.stratum_v2.codes import ErrorCode, invalid_job_parameter

if TYPE_CHECKING:
    from mbongi.pool.daemon.connection import Connection

NUMBERS_FROM: Final = 1 << 31
"""Numbers of custom jobs, which are their ids in Stratum V2 too; the pool's own are below."""
JOBS_PER_TIP_MAX: Final = 5_000
JOBS_PER_CONNECTION_MAX: Final = 250
"""Of these: a new block every few seconds until the tip changes."""
JOBS_PER_ADDRESS_MAX: Final = 1_000
"""Of these, so that whoever opens many connections does not take the place of all others."""
JOB_S_MAX: Final = 600.0
"""A custom job older than this is stale, as the pool's own are."""
SEEN_MAX: Final = 1_000_000
"""Hashes remembered over all custom jobs; above it the oldest job is stale."""
BLOCK_BYTES_MAX: Final = 256 * 1024 * 1024
"""Transactions kept, in hex; above it the oldest block is left to its miner to hand in."""
TOKEN_S: Final = 3_600.0


class CustomJobs:
    """``current`` gives the pool's newest job; every call comes from the loop that serves miners."""

    def __init__(
        self,
        tokens: Tokens,
        *,
        script: bytes,
        halving_blocks: int,
        allows_coinbase_only: bool,
        current: Callable[[], Job | None],
        now_s: Callable[[], float],
        unix_s: Callable[[], float],
    ) -> None:
        """``now_s`` is the clock that shares are judged by; ``unix_s`` the record's, on which processes agree."""
        self.script, self.allows_coinbase_only = script, allows_coinbase_only
        self.outputs = compact_size(1) + TxOut(0, script).encode()
        """What a miner's coinbase must pay, as a token's answer states it."""
        self._tokens, self._halving_blocks = tokens, halving_blocks
        self._current, self._now_s, self._unix_s = current, now_s, unix_s
        self._jobs: OrderedDict[bytes, Job] = OrderedDict()
        self._with_block: OrderedDict[bytes, Job] = OrderedDict()
        self._ended: list[Job] = []
        self._bytes = 0
        self._count = 0
        self._brought: Counter[Connection] = Counter()
        self._brought_from: Counter[str] = Counter()
        self._fees_sat = self._fees_before_sat = 0
        """The most that the pool's own jobs of this tip earn, and those of the one before."""

    # Tokens.

    def token(self, kind: Kind) -> bytes:
        """A new token, to declare a block or to mine by coinbase only."""
        return self._tokens.make(kind, until_s=self._unix_s() + TOKEN_S)

    def kind(self, token: bytes) -> Kind | None:
        """What a token allows that stands for no block."""
        return self._tokens.kind(token, now_s=self._unix_s())

    # Jobs.

    def own(self) -> Job:
        """The pool's newest job, on whose tip custom jobs are too. Raises CustomJobError where there is none."""
        job = self._current()
        if job is None:
            raise CustomJobError(ErrorCode.INTERNAL_ERROR, "the pool has no work yet")
        return job

    def value_sat(self, coinbase: CustomCoinbase) -> int:
        """What a coinbase pays to the pool [sat]. Raises CustomJobError where it is not as it must be."""
        own = self.own()
        return value_sat(coinbase, own, pool_script=self.script, subsidy_sat=self._subsidy_sat(own))

    def template(
        self,
        coinbase: CustomCoinbase,
        *,
        version: int,
        branch: Sequence[bytes],
        transaction_count: int = 0,
        transactions_hex: tuple[bytes, ...] = (),
    ) -> Template:
        """The template of a custom job. Raises CustomJobError where the pool would not pay for it."""
        own, value = self.own(), self.value_sat(coinbase)
        return custom_template(
            own.template,
            coinbase,
            version=version,
            value_sat=value,
            fees_sat=value - self._subsidy_sat(own),
            branch=branch,
            transaction_count=transaction_count,
            transactions_hex=transactions_hex,
        )

    def unnumbered(self, template: Template, coinbase: CustomCoinbase) -> Job:
        """A job that a node is to look at; no miner gets it."""
        made_at_s = self._now_s()
        return Job(0, template, coinbase.coinbase(), made_at_s=made_at_s, extranonce_bytes=EXTRANONCE_BYTES)

    def declared(self, template: Template, coinbase: CustomCoinbase, whose: "Connection") -> tuple[Job, bytes]:
        """A block that a node would take becomes a job; with the token that stands for it. Raises CustomJobError."""
        halves = coinbase.coinbase()
        digest = digest_of(template.previous_hash, template.version, halves, template.branch)
        job = self._job(digest, template, coinbase, whose)
        if not job.has_block:
            job.template, job.has_block = template, True
            self._with_block[digest] = job
            self._bytes += _bytes(template)
            self._forget_blocks()
        token = self._tokens.make(Kind.DECLARED, until_s=self._unix_s() + TOKEN_S, digest=digest)
        return job, token

    def take(self, message: mining.SetCustomMiningJob, whose: "Connection") -> Job:
        """The job that a miner wants to mine on. Raises CustomJobError."""
        own = self.own()
        if message.prev_hash != own.template.previous_hash:
            raise CustomJobError(ErrorCode.STALE_CHAIN_TIP, "it builds on another block than the pool")
        if message.nbits != own.template.bits:
            raise CustomJobError(invalid_job_parameter("nbits"), f"bits {message.nbits:#x}, not {own.template.bits:#x}")
        if message.min_ntime < own.template.time_min_s:
            raise CustomJobError(invalid_job_parameter("min_ntime"), "before the least time that the chain allows")
        coinbase = CustomCoinbase.of_fields(
            version=message.coinbase_tx_version,
            script_start=message.coinbase_prefix,
            sequence=message.coinbase_tx_input_sequence,
            outputs=message.coinbase_tx_outputs,
            lock_time=message.coinbase_tx_locktime,
        )
        digest = digest_of(message.prev_hash, message.version, coinbase.coinbase(), message.merkle_path)
        kind = self._tokens.kind(message.mining_job_token, now_s=self._unix_s(), digest=digest)
        if kind not in (Kind.COINBASE_ONLY, Kind.DECLARED):
            what = "its token is over, not ours, or stands for another block"
            raise CustomJobError(ErrorCode.INVALID_MINING_JOB_TOKEN, what)
        template = self.template(coinbase, version=message.version, branch=message.merkle_path)
        if kind is Kind.COINBASE_ONLY:
            best_sat = max(self._fees_sat, self._fees_before_sat, own.template.fees_sat)
            require_plausible_fees(template.fees_sat, best_sat=best_sat, subsidy_sat=self._subsidy_sat(own))
        return self._job(digest, template, coinbase, whose)

    def _job(self, digest: bytes, template: Template, coinbase: CustomCoinbase, whose: "Connection") -> Job:
        found = self._jobs.get(digest)
        if found is not None:
            if not found.is_current:
                raise CustomJobError(ErrorCode.STALE_TEMPLATE_ID, "it is too old")
            return found
        if len(self._jobs) >= JOBS_PER_TIP_MAX:
            raise CustomJobError(ErrorCode.INTERNAL_ERROR, f"{JOBS_PER_TIP_MAX} custom jobs on this tip; no more")
        self._require_room(whose)
        self._count += 1
        job = self._jobs[digest] = Job(
            NUMBERS_FROM + self._count % NUMBERS_FROM,
            template,
            coinbase.coinbase(),
            made_at_s=self._now_s(),
            extranonce_bytes=EXTRANONCE_BYTES,
            has_block=False,
        )
        return job

    def _require_room(self, whose: "Connection") -> None:
        """Count a new job. Raises CustomJobError where a connection, or its address, has brought its part."""
        address = whose.address.name
        for count, most, of_what in (
            (self._brought[whose], JOBS_PER_CONNECTION_MAX, "connection"),
            (self._brought_from[address], JOBS_PER_ADDRESS_MAX, "address"),
        ):
            if count >= most:
                what = f"{most} custom jobs of one {of_what} on this tip; no more"
                raise CustomJobError(ErrorCode.INTERNAL_ERROR, what)
        self._brought[whose] += 1
        self._brought_from[address] += 1

    def _subsidy_sat(self, own: Job) -> int:
        return subsidy_sat(own.template.height, halving_blocks=self._halving_blocks)

    # Their end.

    def moved(self, *, clean: bool) -> None:
        """The pool has a new job; where ``clean``, on another tip, which ends every custom job."""
        if clean:
            self._fees_sat, self._fees_before_sat = 0, self._fees_sat
            self._brought.clear()
            self._brought_from.clear()
        own = self._current()
        if own is not None:
            self._fees_sat = max(self._fees_sat, own.template.fees_sat)
        if clean:
            for job in self._jobs.values():
                _end(job)
            for job in self._ended:  # a block of the last tip may still be on its way to us; of the one before, not
                _strip(job)
            self._ended = list(self._with_block.values())
            self._jobs.clear()
            self._with_block.clear()
            self._bytes = 0
            return
        oldest_s, seen = self._now_s() - JOB_S_MAX, sum(len(job.seen) for job in self._jobs.values())
        for digest, job in self._jobs.items():
            if job.made_at_s > oldest_s and seen <= SEEN_MAX:
                break
            if job.is_current:
                seen -= len(job.seen)
                _end(job)
                self._forget_block(digest)

    def _forget_blocks(self) -> None:
        while self._bytes > BLOCK_BYTES_MAX:
            self._forget_block(next(iter(self._with_block)))

    def _forget_block(self, digest: bytes) -> None:
        job = self._with_block.pop(digest, None)
        if job is not None:
            self._bytes -= _bytes(job.template)
            _strip(job)


def _strip(job: Job) -> None:
    job.has_block = False
    job.template = replace(job.template, transactions_hex=())


def _bytes(template: Template) -> int:
    return sum(map(len, template.transactions_hex))


def _end(job: Job) -> None:
    job.is_current = False
    job.seen.clear()
