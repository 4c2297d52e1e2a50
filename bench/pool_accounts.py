"""How fast shares go from the share log into the accounts, decoded, checked for repetitions, added up and committed."""

import argparse
import sys
import time
from hashlib import sha256
from pathlib import Path

from bench._database import embedded_database
from bench.harness import cpu_s, report
from mbongi.run.database import use_database

WORKERS = 1_000
BATCH = 20
"""Shares that the pool writes at a time under such a load."""
SHARES_PER_S = 3_000
"""By their own time: so many minutes of workers' rows come with them."""
BEGIN_MS = 1_790_000_000_000
BLOCK_EVERY = 100_000


def main(argv: list[str] | None = None) -> int:
    """Take in a log of shares of 1,000 workers that stands on the disk; takes about half a minute."""
    parser = argparse.ArgumentParser(prog="mbongi bench pool_accounts", description=__doc__)
    parser.add_argument("--shares", type=int, default=600_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    with embedded_database() as config:
        figures = _measure(config.site.data_dir / "pool" / "shares", arguments.shares)
    report("pool_accounts", figures, as_json=arguments.json)
    return 0


def _measure(root: Path, shares: int) -> dict[str, float]:
    use_database()
    from mbongi.core.identity.scope import SITE, acting  # noqa: PLC0415 -- Django must be set up first
    from mbongi.pool import selectors  # noqa: PLC0415
    from mbongi.pool.daemon.importer import Importer  # noqa: PLC0415

    logged_s = _write(root, shares)
    with acting(SITE):
        importer = Importer(root, lambda _name: False)
        began_s, began_cpu_s, steps = time.perf_counter(), cpu_s(), 1
        while importer.step():
            steps += 1
        wall_s, own_cpu_s = time.perf_counter() - began_s, cpu_s() - began_cpu_s
        [cursor] = selectors.cursors()
    if (cursor.shares, cursor.replays) != (shares, 0):
        raise SystemExit(f"bench pool_accounts: {cursor.shares} of {shares} shares taken in, {cursor.replays} replays")
    return {
        "import_shares_per_s": shares / wall_s,
        "import_cpu_us_per_share": own_cpu_s / shares * 1e6,
        "import_transactions": steps,
        "log_shares_per_s": shares / logged_s,
    }


def _write(root: Path, shares: int) -> float:
    """Write the log as the pool does, and bring it to the disk; returns how long the appending took [s]."""
    from mbongi.pool.daemon.share_log import BLOCK_FLAG, ShareLog, pack_share, shard_folder  # noqa: PLC0415

    log = ShareLog(shard_folder(root, 0))
    numbers = [log.worker(f"account{each % 100}.rig{each}") for each in range(WORKERS)]
    difficulties = (16_384.0, 24_576.0, 32_768.0, 49_152.0)
    batches = []
    for begin in range(0, shares, BATCH):
        records = []
        for each in range(begin, min(begin + BATCH, shares)):
            difficulty, flags = difficulties[each % 1000 % 4], BLOCK_FLAG if each % BLOCK_EVERY == 7 else 0
            time_ms, hash_ = BEGIN_MS + each * 1000 // SHARES_PER_S, sha256(each.to_bytes(8, "big")).digest()
            place = (time_ms, numbers[each % WORKERS], 1, difficulty, difficulty * 2, 900_000, time_ms // 1000)
            records.append(pack_share(*place, each & 0xFFFF_FFFF, 0x2000_0000, bytes(13), 1, flags, 0, hash_))
        batches.append((records, {numbers[each % WORKERS] for each in range(begin, min(begin + BATCH, shares))}))
    began_s = time.perf_counter()
    for records, workers in batches:
        log.append(records, workers)
    log.sync()
    logged_s = time.perf_counter() - began_s
    log.close()
    return logged_s


if __name__ == "__main__":
    sys.exit(main())
