"""From a winning share to a block's first bytes: what lies between is counted in calls, not in time.

Neither the block's transactions, nor the other miners, nor the disk, nor a second node stand between the two.
"""

import asyncio
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mbongi.pool.daemon import v1_connection
from mbongi.pool.daemon.blocks import Blocks
from mbongi.pool.daemon.server import Difficulty, PoolServer
from mbongi.pool.daemon.share_log import ShareLog
from mbongi.pool.rules.job import Job, coinbase_of
from mbongi.pool.rules.template import template_of
from mbongi.wire.bitcoin.hashing import display, sha256d
from mbongi.wire.bitcoin.transaction import TxOut
from mbongi.wire.bitcoind import BlockTemplate, TemplateTransaction
from tests.pool.daemon.fake_node import FakeNode, FakeSubmission, FakeTips
from tests.pool.practice import Miner

CALLS_MAX = 150
"""Some 90 are needed: to read the line, to hash the coinbase and the tree, to put the block's beginning together."""
EASY = 2.0**-32
"""A difficulty that nearly every hash meets."""


class CountingNode(FakeNode):
    """It notes how many functions were called before it was given the block."""

    def __init__(self, name: str, calls: Iterator[int], seen: dict[str, Any]) -> None:
        super().__init__(name)
        self._calls, self._seen = calls, seen

    def submit(self, block_hex: Any) -> FakeSubmission:
        self._seen.setdefault("calls", next(self._calls))
        self._seen.setdefault("parts", block_hex)
        self._seen.setdefault("rest_sent", []).append([each.rest_sent for each in self._seen.get("out", [])])
        submission = super().submit(block_hex)
        self._seen.setdefault("out", []).append(submission)
        return submission


def job(server: PoolServer, transactions: int) -> Job:
    """Work whose every share is a block, with so many transactions."""
    rows = []
    for number in range(transactions):
        raw = number.to_bytes(800, "little")
        name = display(sha256d(raw))
        rows.append(TemplateTransaction(data=msgspec.Raw(f'"{raw.hex()}"'.encode()), txid=name, hash=name, weight=800))
    now_s = int(server.now_s())
    reply = BlockTemplate(
        version=0x2000_0000, previousblockhash="11" * 32, transactions=rows, coinbasevalue=50, curtime=now_s,
        mintime=now_s - 600, bits="207fffff", height=500,
    )  # fmt: skip
    template = template_of(reply)
    return Job(1, template, coinbase_of(template, [TxOut(50, b"\x51")], b"", 1), made_at_s=server.now_s())


async def path(folder: Path, monkeypatch: pytest.MonkeyPatch, *, transactions: int, miners: int, nodes: int) -> Any:
    """What stood between one share and its block."""
    calls, seen = itertools.count(), {}
    found = [CountingNode(str(number), calls, seen) for number in range(nodes)]
    server = PoolServer(
        ShareLog(folder / "shares"),
        on_block=lambda *words: blocks.found(*words),  # noqa: PLW0108 -- they are made below
        difficulty=Difficulty(start=EASY, minimum=EASY, maximum=EASY),
    )
    blocks = Blocks(folder / "blocks", found, FakeTips(None), now_s=server.now_s)
    server.publish(job(server, transactions))
    port = await server.listen("127.0.0.1", 0)
    connected = [await Miner.connect(port) for _ in range(miners)]
    take = v1_connection.V1Connection.data_received

    def counted(self: Any, data: bytes) -> None:
        if b"mining.submit" not in data:
            take(self, data)
            return
        sys.setprofile(lambda _frame, event, _argument: next(calls) and None if "call" in event else None)
        try:
            take(self, data)
        finally:
            sys.setprofile(None)

    monkeypatch.setattr(v1_connection.V1Connection, "data_received", counted)
    answer = await connected[0].submit(connected[0].solve(target=server.current_job.template.target))  # type: ignore[union-attr]
    monkeypatch.undo()
    assert answer["result"] is True, answer
    transactions_hex = server.current_job.template.transactions_hex  # type: ignore[union-attr]
    # Nothing was copied.
    assert all(found is kept for found, kept in zip(seen["parts"][1:], transactions_hex, strict=True))
    for miner in connected:
        miner.close()
    server.gate.send_away("the test ends")
    await asyncio.sleep(0.05)
    server.log.close()
    return seen


async def test_a_fixed_number_of_calls_lies_between_a_share_and_its_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = await path(tmp_path / "a", monkeypatch, transactions=0, miners=1, nodes=1)
    large = await path(tmp_path / "b", monkeypatch, transactions=3_000, miners=20, nodes=3)

    assert small["calls"] <= CALLS_MAX
    # The merkle root takes two hashes, each of two calls, for each of the twelve levels of a tree of 3,001.
    assert large["calls"] - small["calls"] <= 12 * 4 + 2


async def test_every_node_has_the_blocks_beginning_before_any_has_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = await path(tmp_path, monkeypatch, transactions=3, miners=1, nodes=3)
    assert seen["rest_sent"] == [[], [False], [False, False]]
    assert all(each.rest_sent for each in seen["out"])
