"""The pool's nodes as configured: each with its cookie and its feed, and what counts on which network."""

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mbongi.base.config import Config, Pool, Site
from mbongi.base.errors import ConfigError
from mbongi.pool.daemon.steady_clock import SteadyClock
from mbongi.run.pool_lead import Lead
from mbongi.run.pool_nodes import CHAINS, feeds_of, limits_of, nodes_of, with_source

TWO = ("http://u:p%40ss@10.0.0.1:8332", "http://10.0.0.2:8332")


def config(**pool: Any) -> Config:
    return Config(pool=Pool(**{"network": "mainnet", "nodes": TWO} | pool))


def cookies(made: Config) -> list[Path | None]:
    return [node._address.cookie for node in nodes_of(made)]


def test_one_cookie_stands_for_all_nodes_and_several_are_in_their_order() -> None:
    assert cookies(config()) == [None, None]
    assert cookies(config(cookies=("/a",))) == [Path("/a"), Path("/a")]
    assert cookies(config(cookies=("-", "/b"))) == [None, Path("/b")]
    assert nodes_of(config())[0]._address.password == "p@ss"


def test_each_feed_asks_for_its_own_node() -> None:
    looked: list[str] = []
    [feed] = feeds_of(config(zmq=("-", "tcp://10.0.0.2:28332")), looked.append)
    feed.take([b"hashblock", bytes(32), bytes(4)])
    assert (feed.endpoint, looked) == ("tcp://10.0.0.2:28332", ["10.0.0.2:8332"])
    assert feeds_of(config(), looked.append) == []


@pytest.mark.parametrize(
    ("pool", "words"),
    [
        ({"nodes": ()}, "pool.nodes: empty; expected the site's nodes of mainnet"),
        ({"nodes": ("https://x",)}, "pool.nodes: .*expected http://"),
        ({"nodes": (TWO[1], TWO[1])}, "the same node twice"),
        ({"cookies": ("a", "b", "c")}, "pool.cookies: 3 for 2 nodes; expected one each"),
    ],
)
def test_nodes_that_cannot_be_are_refused(pool: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        nodes_of(config(**pool))


def test_a_feed_too_many_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"pool\.zmq: 1 for 2 nodes"):
        feeds_of(config(zmq=("tcp://a:1",)), print)


def test_the_first_node_gets_the_source_of_templates_that_is_configured() -> None:
    nodes = nodes_of(config())
    first, second = with_source(config(ipc="/run/bitcoin/node.sock"), nodes)
    assert (type(first).__name__, first.name, second) == ("NodeIpc", "10.0.0.1:8332", nodes[1])
    assert with_source(config(), nodes) == nodes


@pytest.mark.parametrize(
    ("pool", "words"),
    [
        ({"ipc": "node.sock"}, r"pool\.ipc: node\.sock: 9 bytes; expected an absolute path of at most 107"),
        ({"ipc": "/" + "é" * 60}, "121 bytes; expected"),
        ({"ipc": "/a", "template_provider": "stratum2+tcp://a:1/9"}, "both set; expected one source"),
        ({"template_provider": "stratum2+tcp://127.0.0.1:8442"}, "no authority key"),
    ],
)
def test_a_source_of_templates_that_cannot_be_is_refused(pool: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        with_source(config(**pool), nodes_of(config()))


def test_practice_chains_may_rest_and_test_networks_may_have_blocks_of_little_work() -> None:
    main = limits_of(config())
    assert (main.quiet_s, main.tip_work_least) == (7200.0, 0.25)
    assert limits_of(config(node_quiet_s=0.0)).quiet_s is None
    assert limits_of(config(network="regtest")).quiet_s is None
    assert limits_of(config(network="testnet")).tip_work_least == 0.0
    assert "main" not in CHAINS["testnet"]


def test_a_passing_jump_of_the_systems_clock_does_not_make_nodes_look_cut_off(tmp_path: Path) -> None:
    wall = [datetime(2026, 1, 1, tzinfo=UTC)]
    clock = SteadyClock(wall=lambda: wall[0], monotonic=lambda: 5.0)
    site = Site(data_dir=tmp_path)
    address = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
    made = dataclasses.replace(config(address=address), site=site)
    lead = Lead(made, clock, on_job=lambda _job: None, on_trouble=lambda _reason: None)

    wall[0] += timedelta(days=1)
    clock.follow()

    assert lead.heads._unix_s() == datetime(2026, 1, 1, tzinfo=UTC).timestamp()
