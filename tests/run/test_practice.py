"""The practice chain's figures, against what they must bring about; a real chain's stay as they are."""

import dataclasses
from pathlib import Path

import pytest

from mbongi.base.config import Config, Pool, Site, Twin
from mbongi.run.practice import BLOCK_DIFFICULTY_MIN, fitted, site_pool, stated_per_hashed
from mbongi.twin.scale import twin_mines
from mbongi.wire.noise.certificate import read_pool_url

SITE_THS = 24 * 200 + 24 * 126 + 12 * 0.625
"""Of the virtual site of 60 machines: Antminers, Whatsminers, Bitaxes."""


def test_the_virtual_site_finds_a_block_in_about_45_s_whatever_its_size() -> None:
    whole, small = (fitted(Config(twin=Twin(machines=machines))).pool for machines in (60, 12))

    assert whole.block_difficulty_min * 2**32 / (SITE_THS * 4) == pytest.approx(45.0)
    assert small.block_difficulty_min * 2**32 / (12 * 200 * 4) == pytest.approx(45.0)


def test_a_site_that_is_too_large_for_a_processor_hashes_less_and_its_blocks_are_as_much_easier() -> None:
    large = fitted(Config(twin=Twin(machines=6000, per_rack=254)))

    assert large.pool.block_difficulty_min * 2**32 == pytest.approx(50_000 * 45)


def test_shares_of_the_practice_chain_are_within_reach_of_the_smallest_machine() -> None:
    pool = fitted(Config()).pool
    bitaxe_hs = 0.625 * 4

    assert pool.difficulty_start * 2**32 == 1024
    assert pool.difficulty_min * 2**32 <= bitaxe_hs * 60 / pool.shares_per_minute


def test_what_is_configured_stands_and_a_real_chain_has_its_own() -> None:
    given = Pool(difficulty_start=3.0, difficulty_min=2.0, block_difficulty_min=1.0)

    assert fitted(Config(pool=given)).pool == given
    assert fitted(Config(pool=Pool(difficulty_min=0.5))).pool.difficulty_start == 0.5
    real = fitted(Config(pool=Pool(network="mainnet"))).pool
    assert (real.difficulty_start, real.difficulty_min, real.block_difficulty_min) == (16_384.0, 1.0, 0.0)
    assert fitted(Config(pool=Pool(network="mainnet", difficulty_min=1e6))).pool.difficulty_start == 1e6


def test_without_machines_that_mine_blocks_are_sized_for_one_processor() -> None:
    still = Config(twin=Twin(hash_scale=0.0))

    assert not twin_mines(still)
    assert fitted(still).pool.block_difficulty_min == BLOCK_DIFFICULTY_MIN


@pytest.mark.parametrize(
    ("pool", "mines"),
    [(Pool(), True), (Pool(enabled=False), False), (Pool(network="mainnet"), False), (Pool(network="regtest"), True)],
)
def test_virtual_machines_mine_on_a_practice_chain_only(pool: Pool, mines: bool) -> None:
    assert twin_mines(Config(pool=pool)) is mines


def test_the_machines_pool_is_the_sites_with_the_key_that_it_will_have(tmp_path: Path) -> None:
    config = Config(site=Site(data_dir=tmp_path), pool=Pool(host="0.0.0.0", port=13333, v2_port=13336))

    first, again = site_pool(config), site_pool(config)
    found = read_pool_url(first.v2_url)
    six = site_pool(dataclasses.replace(config, pool=Pool(host="::1", port=1, v2_port=2)))

    assert first == again
    assert first.url == "stratum+tcp://127.0.0.1:13333"
    assert (found.host, found.port) == ("127.0.0.1", 13336)
    assert (tmp_path / "secrets" / "pool-authority.key").stat().st_mode & 0o077 == 0
    assert six.url == "stratum+tcp://[::1]:1"
    assert read_pool_url(six.v2_url).authority_key == found.authority_key


def test_what_the_pool_counts_of_a_virtual_machine_is_held_beside_what_it_states_in_its_own_scale() -> None:
    assert 800 * stated_per_hashed(Config()) == pytest.approx(200e12), "an Antminer S21 at 4 hashes for each 10**12"
    assert stated_per_hashed(Config(pool=Pool(network="mainnet"))) == 1.0
    assert stated_per_hashed(Config(pool=Pool(enabled=False))) == 1.0
