"""The practice chain: whether the site is on it, what the pool's figures are there, and where the twin mines."""

import dataclasses
from pathlib import Path
from typing import Final

from mbongi.base.config import Config, Pool
from mbongi.base.keys import stored_key
from mbongi.pool.terms import PRACTICE
from mbongi.twin.layout import positions
from mbongi.twin.mining import effective_scale
from mbongi.twin.models import model_of
from mbongi.twin.values import SitePool
from mbongi.wire.noise.certificate import PoolAddress
from mbongi.wire.noise.secp import new_secret, x_only_of_secret

NETWORKS: Final = ("regtest", PRACTICE)
BLOCK_S: Final = 45.0
"""How long the virtual site takes for a block, on average."""
BLOCK_DIFFICULTY_MIN: Final = 2.0**-14
"""Where there is no virtual site to size it by: a second of one processor."""
START_HASHES, SHARE_HASHES_MIN = 1024, 8
"""Of one share, at a connection's start and at least: a virtual Bitaxe tries two or three in a second."""
HASHES_PER_DIFFICULTY: Final = float(1 << 32)
DIFFICULTY_START, DIFFICULTY_MIN = 16_384.0, 1.0
"""Of shares on a real chain."""
EVERYWHERE: Final = ("0.0.0.0", "::", "")  # noqa: S104 -- what is looked for, not what is listened on


def is_practice(pool: Pool) -> bool:
    """Whether the pool's chain is one that anybody can mine on a processor."""
    return pool.network in NETWORKS


def twin_mines(config: Config) -> bool:
    """Whether the virtual machines really mine: on a practice chain, with the pool that ``up`` runs."""
    return config.pool.enabled and is_practice(config.pool) and config.twin.hash_scale > 0


def fitted(config: Config) -> Config:
    """The configuration with the pool's difficulties that are left open set to what fits its chain."""
    pool = config.pool
    if is_practice(pool):
        start, minimum = START_HASHES / HASHES_PER_DIFFICULTY, SHARE_HASHES_MIN / HASHES_PER_DIFFICULTY
        block = pool.block_difficulty_min or _block_difficulty(config)
    else:
        start, minimum, block = DIFFICULTY_START, DIFFICULTY_MIN, pool.block_difficulty_min
    minimum = pool.difficulty_min or minimum
    changed = dataclasses.replace(
        pool,
        difficulty_start=pool.difficulty_start or max(start, minimum),
        difficulty_min=minimum,
        block_difficulty_min=block,
    )
    return dataclasses.replace(config, pool=changed)


def site_pool(config: Config) -> SitePool:
    """Where the virtual machines find the site's pool."""
    pool = config.pool
    host = "127.0.0.1" if pool.host in EVERYWHERE else pool.host
    key = x_only_of_secret(authority_secret(config.site.data_dir / "secrets"))
    v1 = f"[{host}]:{pool.port}" if ":" in host else f"{host}:{pool.port}"
    return SitePool(f"stratum+tcp://{v1}", PoolAddress(host, pool.v2_port, key).url())


def authority_secret(folder: Path) -> bytes:
    """The key with which the pool vouches for its servers in Stratum V2; made on first use. Raises ConfigError."""
    return bytes.fromhex(stored_key(folder / "pool-authority.key", new_secret().hex().encode()))


def _block_difficulty(config: Config) -> float:
    if not twin_mines(config):
        return BLOCK_DIFFICULTY_MIN
    nominal_ths = sum(model_of(position.family).hashrate_ths for position in positions(config.twin))
    hashrate_hs = nominal_ths * effective_scale(config.twin.hash_scale, nominal_ths)
    return max(hashrate_hs * BLOCK_S, float(START_HASHES)) / HASHES_PER_DIFFICULTY
