"""The practice chain: whether the site is on it, what the pool's figures are there, and where the twin mines."""

import dataclasses
from typing import Final

from mbongi.base.config import Config
from mbongi.pool.addresses import pool_addresses
from mbongi.twin.scale import is_practice, site_scale, site_ths, twin_mines
from mbongi.twin.values import SitePool

BLOCK_S: Final = 45.0
"""How long the virtual site takes for a block, on average."""
BLOCK_DIFFICULTY_MIN: Final = 2.0**-14
"""Where there is no virtual site to size it by: a second of one processor."""
START_HASHES, SHARE_HASHES_MIN = 1024, 8
"""Of one share, at a connection's start and at least: a virtual Bitaxe tries two or three in a second."""
HASHES_PER_DIFFICULTY: Final = float(1 << 32)
TERA: Final = 1e12
DIFFICULTY_START, DIFFICULTY_MIN = 16_384.0, 1.0
"""Of shares on a real chain."""


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


def stated_per_hashed(config: Config) -> float:
    """What a machine states for each hash that the pool counts: 1, more where virtual machines try only a part."""
    return TERA / site_scale(config.twin) if twin_mines(config) else 1.0


def site_pool(config: Config) -> SitePool:
    """Where the virtual machines find the site's pool."""
    found = pool_addresses(config)
    return SitePool(found.v1, found.v2)


def _block_difficulty(config: Config) -> float:
    if not twin_mines(config):
        return BLOCK_DIFFICULTY_MIN
    hashrate_hs = site_ths(config.twin) * site_scale(config.twin)
    return max(hashrate_hs * BLOCK_S, float(START_HASHES)) / HASHES_PER_DIFFICULTY
