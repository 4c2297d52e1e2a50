"""The pool's Bitcoin nodes as configured: their adapters, their feeds of new tips, and what tells good from bad."""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from mbongi.base.config import Config
from mbongi.base.errors import ConfigError
from mbongi.pool.adapters.node_rpc import NodeAddress, NodeRpc
from mbongi.pool.adapters.node_zmq import TipFeed
from mbongi.pool.adapters.template_provider import TemplateProvider
from mbongi.pool.ports import Node
from mbongi.pool.rules.heads import Limits
from mbongi.pool.rules.template import subsidy_sat
from mbongi.pool.terms import PRACTICE
from mbongi.run import regtest
from mbongi.wire.bitcoin.address import networks
from mbongi.wire.errors import WireError
from mbongi.wire.noise.certificate import read_pool_url

NONE: Final = "-"
"""In a list that follows the order of the nodes: this node has none."""
SOCKET_BYTES_MAX: Final = 107
"""Of the path of a unix socket. Source: Linux, unix(7)."""
CHAINS: Final[Mapping[str, frozenset[str]]] = {
    "mainnet": frozenset({"main"}),
    "testnet": frozenset({"test", "testnet4", "signet"}),
    "regtest": frozenset({"regtest"}),
    PRACTICE: frozenset({"regtest"}),
}
"""What nodes call the chain of a network. Source: Bitcoin Core, getblockchaininfo; bcoin says the same."""


def nodes_of(config: Config) -> list[NodeRpc]:
    """The configured nodes, or the practice chain's. Raises ConfigError."""
    pool = config.pool
    if not pool.nodes:
        if pool.network != PRACTICE:
            raise ConfigError(f"pool.nodes: empty; expected the site's nodes of {pool.network}")
        return [NodeRpc(regtest.address(config))]
    # One cookie stands for all nodes, as they may share a folder of secrets.
    words = pool.cookies * len(pool.nodes) if len(pool.cookies) == 1 else pool.cookies
    cookies = [None if word == NONE else Path(word) for word in _for_each_node(config, "cookies", words)]
    try:
        addresses = [NodeAddress.of_url(url, cookie) for url, cookie in zip(pool.nodes, cookies, strict=True)]
    except ValueError as error:
        raise ConfigError(f"pool.nodes: {error}") from error
    names = [address.name for address in addresses]
    if len(set(names)) < len(names):
        raise ConfigError(f"pool.nodes: {', '.join(names)}: the same node twice; expected each once")
    return [NodeRpc(address) for address in addresses]


def with_source(config: Config, nodes: Sequence[Node]) -> list[Node]:
    """The same, the first with the source of templates beside it where one is configured. Raises ConfigError."""
    url, path = config.pool.template_provider, config.pool.ipc
    if url and path:
        raise ConfigError("pool.ipc and pool.template_provider: both set; expected one source of templates")
    if path:
        return [_over_ipc(nodes[0], path), *nodes[1:]]
    if not url:
        return list(nodes)
    try:
        address = read_pool_url(url)
    except WireError as error:
        raise ConfigError(f"pool.template_provider: {error}") from error
    if address.authority_key is None:
        raise ConfigError(f"pool.template_provider: {url}: no authority key; expected one, for blocks depend on it")
    halving_blocks = networks()[config.pool.network].halving_blocks
    subsidy_of = functools.partial(subsidy_sat, halving_blocks=halving_blocks)
    return [TemplateProvider(nodes[0], address, subsidy_sat=subsidy_of), *nodes[1:]]


def _over_ipc(node: Node, path: str) -> Node:
    size = len(os.fsencode(path))
    if not Path(path).is_absolute() or size > SOCKET_BYTES_MAX:
        expected = f"expected an absolute path of at most {SOCKET_BYTES_MAX} bytes"
        raise ConfigError(f"pool.ipc: {path}: {size} bytes; {expected}")
    from mbongi.pool.adapters.node_ipc import NodeIpc  # noqa: PLC0415 -- its library is large, and few sites use it

    return NodeIpc(node, path)


def feeds_of(config: Config, look: Callable[[str], None]) -> list[TipFeed]:
    """A feed for each node that has one; ``look`` is called with the node's name. Raises ConfigError."""
    endpoints = _for_each_node(config, "zmq", config.pool.zmq)
    names = [NodeAddress.of_url(url).name for url in config.pool.nodes]
    return [
        TipFeed(endpoint, lambda _hash, name=name: look(name))  # type: ignore[misc]
        for name, endpoint in zip(names, endpoints, strict=True)
        if endpoint != NONE
    ]


def limits_of(config: Config) -> Limits:
    """What tells a slow node from one that must not be used, on this network."""
    network, quiet_s = config.pool.network, config.pool.node_quiet_s
    is_at_rest = network in {"regtest", PRACTICE} or quiet_s == 0
    limits = Limits(quiet_s=None if is_at_rest else quiet_s)
    # After twenty minutes without a block a test network takes one of the least difficulty.
    return dataclasses.replace(limits, tip_work_least=0.0) if network == "testnet" else limits


def _for_each_node(config: Config, key: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """A setting's words, one for each node; none stands for none at all."""
    count = len(config.pool.nodes)
    if words and len(words) != count:
        raise ConfigError(f"pool.{key}: {len(words)} for {count} nodes; expected one each, {NONE!r} for a node without")
    return words or (NONE,) * count
