"""The pool makes its coinbases by the accounts' last plan, and pays itself alone where there is none to go by."""

import os
from pathlib import Path

import pytest

from mbongi.pool.daemon.direct import DirectPayouts
from mbongi.pool.rules.payout.coinbase_plan import CoinbasePlan, PlannedOutput
from mbongi.wire.bitcoin.transaction import TxOut

POOL = b"\x00\x14" + bytes(20)
ADA = b"\x00\x14" + b"\x01" * 20


def write(path: Path, *, work: int, made_at_s: float = 1_000.0) -> None:
    output = PlannedOutput(script=ADA.hex(), work=str(work))
    plan = CoinbasePlan(made_at_ms=int(made_at_s * 1000), fee_ppm=0, total_work="100", outputs=(output,))
    path.write_bytes(plan.encoded())
    os.utime(path, ns=(0, work * 1_000_000))


def test_a_replaced_plan_is_followed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "coinbase.json"
    direct = DirectPayouts(path, POOL, limit=5, now_s=lambda: 1_060.0)
    assert direct.outputs(1_000) == [TxOut(1_000, POOL)]

    write(path, work=25)
    assert direct.outputs(1_000) == [TxOut(750, POOL), TxOut(250, ADA)]
    write(path, work=50)
    assert direct.outputs(1_000) == [TxOut(500, POOL), TxOut(500, ADA)]
    path.unlink()
    assert direct.outputs(1_000) == [TxOut(1_000, POOL)]


@pytest.mark.parametrize("spoil", ["old", "torn"])
def test_a_plan_that_is_old_or_torn_pays_nobody_and_a_good_one_again(tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "coinbase.json"
    write(path, work=25, made_at_s=1_000.0)
    now = [1_060.0]
    direct = DirectPayouts(path, POOL, limit=5, now_s=lambda: now[0])
    assert len(direct.outputs(1_000)) == 2

    if spoil == "old":
        now[0] += 3_600
    else:
        path.write_bytes(path.read_bytes()[:-3])
    assert direct.outputs(1_000) == [TxOut(1_000, POOL)]
    assert direct.outputs(1_000) == [TxOut(1_000, POOL)]

    write(path, work=75, made_at_s=now[0])
    assert direct.outputs(1_000) == [TxOut(250, POOL), TxOut(750, ADA)]
