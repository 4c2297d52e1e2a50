"""Share logs written as the pool writes them, and block records as it keeps them, for the tests of the accounts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

from mbongi.pool.daemon.share_log import BLOCK_FLAG, ShareLog, pack_share, shard_folder
from mbongi.pool.rules.block_record import BlockRecord, BlockState, CoinbaseOutput
from mbongi.pool.services import Division
from mbongi.pool.values import Scheme
from mbongi.wire.bitcoin.address import networks

MINUTE_MS = 60_000
BEGIN_MS = 1_790_000_000_000 // MINUTE_MS * MINUTE_MS
POOL_SCRIPT = "0014" + "ab" * 20
BITS = 0x1D00FFFF
"""Difficulty 1: a block takes 2**32 + 2**16 + 1 hashes."""
SECRET = bytes(32)


def share_hash(number: int) -> bytes:
    return sha256(number.to_bytes(8, "big")).digest()


def hash_text(number: int) -> str:
    return share_hash(number)[::-1].hex()


@dataclass
class Logged:
    """One share to be written."""

    worker: str
    number: int
    difficulty: float = 1.0
    time_ms: int = BEGIN_MS
    is_block: bool = False
    protocol: int = 1
    height: int = 500


@dataclass
class Logs:
    """The logs of some shards below ``root``; each ``write`` is one batch of one turn of the pool's loop."""

    root: Path
    open: dict[int, ShareLog] = field(default_factory=dict)

    def write(self, shares: Sequence[Logged], shard: int = 0) -> None:
        log = self.open.get(shard)
        if log is None:
            log = self.open[shard] = ShareLog(shard_folder(self.root, shard))
        records = [self._packed(log, each, shard) for each in shares]
        log.append(records, {log.worker(each.worker) for each in shares})

    def restart(self, shard: int = 0) -> None:
        """As if the pool's process had been killed and started again."""
        self.open.pop(shard).close()

    def close(self) -> None:
        for log in self.open.values():
            log.close()
        self.open.clear()

    @staticmethod
    def _packed(log: ShareLog, each: Logged, shard: int) -> bytes:
        return pack_share(
            each.time_ms,
            log.worker(each.worker),
            1,
            each.difficulty,
            each.difficulty * 1.5,
            each.height,
            each.time_ms // 1000,
            each.number & 0xFFFF_FFFF,
            0x2000_0000,
            bytes(13),
            each.protocol,
            BLOCK_FLAG if each.is_block else 0,
            shard,
            share_hash(each.number),
        )


def record(
    number: int, *, state: BlockState = BlockState.IN_CHAIN, revision: int = 1, **changes: object
) -> BlockRecord:
    """The record of the block that share ``number`` made: 50 coins and 1,000 sat of fees, all to the pool."""
    fields: dict[str, object] = {
        "revision": revision,
        "hash": hash_text(number),
        "height": 500,
        "previous_hash": "00" * 32,
        "worker": "ada.one",
        "time_ms": BEGIN_MS,
        "job": 1,
        "shard": 0,
        "header": "00" * 80,
        "extranonce": "00" * 12,
        "coinbase_txid": "cc" * 32,
        "outputs": (CoinbaseOutput(POOL_SCRIPT, 5_000_001_000), CoinbaseOutput("6a24aa21a9ed" + "00" * 32, 0)),
        "pool_output": 0,
        "subsidy_sat": 5_000_000_000,
        "fees_sat": 1_000,
        "bits": BITS,
        "difficulty": 1.0,
        "state": state,
        "since_ms": BEGIN_MS,
        "confirmations": 1 if state is BlockState.IN_CHAIN else 0,
    }
    return BlockRecord(**(fields | changes))  # type: ignore[arg-type]


def division(scheme: Scheme = Scheme.PPLNS, *, window: float = 8.0, fee_ppm: int = 0) -> Division:
    return Division(
        scheme=scheme,
        fee_ppm=fee_ppm,
        window=Fraction(window),
        block_work_min=0,
        network=networks()["regtest"],
        secret=SECRET,
    )
