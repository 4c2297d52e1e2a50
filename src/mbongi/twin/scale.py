"""How many hashes the virtual machines really try, and when they do. Pure."""

from typing import Final

from mbongi.base.config import Config, Pool, Twin
from mbongi.twin.layout import positions
from mbongi.twin.models import model_of

NETWORKS: Final = ("regtest", "regtest-bcoin")
"""Chains that anybody can mine on a processor."""
HASHES_PER_S_MAX: Final = 50_000.0
"""Of the whole site, a tenth of a core; the scale of a larger site is lowered to fit."""


def is_practice(pool: Pool) -> bool:
    """Whether the pool's chain is one for practice."""
    return pool.network in NETWORKS


def twin_mines(config: Config) -> bool:
    """Whether the virtual machines really mine: on a practice chain, with the pool that ``up`` runs."""
    return config.pool.enabled and is_practice(config.pool) and config.twin.hash_scale > 0


def effective_scale(hash_scale: float, nominal_ths: float) -> float:
    """Hashes really tried for each 10**12, so that a site of this nominal hashrate keeps to HASHES_PER_S_MAX."""
    return min(hash_scale, HASHES_PER_S_MAX / nominal_ths) if nominal_ths > 0 else hash_scale


def site_ths(twin: Twin) -> float:
    """The nominal hashrate of the virtual site."""
    return sum(model_of(position.family).hashrate_ths for position in positions(twin))


def site_scale(twin: Twin) -> float:
    """Hashes that the virtual site really tries for each 10**12 that its machines state."""
    return effective_scale(twin.hash_scale, site_ths(twin))
