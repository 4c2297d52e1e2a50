"""What a node would answer the pool's benchmarks: ``python -m bench._pool_node TRANSACTIONS FILE`` writes it."""

import json
import random
import sys
import time
from pathlib import Path

from mbongi.wire.bitcoin.hashing import display, sha256d

TRANSACTION_BYTES = 800
PREVIOUS = b"0" * 32 + b"-the previous block's hash here-"
"""Stands in the answer for the hash of the block before, as long as that."""


def answer(transactions: int) -> bytes:
    """A node's answer to ``getblocktemplate`` with so many transactions of 800 bytes."""
    source = random.Random(1)
    rows = []
    for _ in range(transactions):
        raw = source.randbytes(TRANSACTION_BYTES)
        name = display(sha256d(raw))
        rows.append({"data": raw.hex(), "txid": name, "hash": name, "fee": 1000, "sigops": 4, "weight": 1300})
    now = int(time.time())
    result = {
        "previousblockhash": PREVIOUS.decode(),
        "version": 0x2000_0000,
        "transactions": rows,
        "coinbasevalue": 312_500_000 + 1000 * transactions,
        "curtime": now,
        "mintime": now - 600,
        "bits": "1703a30c",
        "height": 900_000,
        "longpollid": "x",
    }
    return json.dumps({"result": result, "error": None, "id": 0}).encode()


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(answer(int(sys.argv[1])))
