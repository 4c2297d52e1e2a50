"""A small pool: the site's own account and a tenant's, a worker of each, a divided block, its proof, and a payout."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pytest

from mbongi.base.clock import utc_now
from mbongi.core.identity.models import Tenant
from mbongi.pool import models, telemetry
from mbongi.pool.rules.block_record import BlockState
from mbongi.pool.rules.hashrate import Rate, Tally
from mbongi.pool.rules.latency import Durations
from mbongi.pool.status import BestShare, Latency, NodeStatus, PoolStatus, TemplateStatus
from mbongi.pool.telemetry import HashrateSeries, RejectRow, Totals, WorkerPage, WorkerRow
from mbongi.pool.values import EntryKind, PaymentState, Scheme
from mbongi.web.live.pool_board import POOL

HASH = "00" * 8 + "ab" * 24
ROOT = "cd" * 32
WINDOW = HASH
SITE_WORKER, NORTH_WORKER = "site.one", "north.two"
SAT = 312_500_000
REASONS = dict.fromkeys(telemetry.REASONS, 0) | {"stale": 3, "other": 1}


@dataclass
class PoolSite:
    """The pool under test."""

    site: models.Account
    north: models.Account
    block: models.Block


def make_books(tenant: Tenant) -> PoolSite:
    """Accounts, workers, a block with its window, and what it brought. The caller acts for the site."""
    now = utc_now()
    site = models.Account.objects.create(name="site", added_at=now, balance_sat=2 * SAT)
    north = models.Account.objects.create(
        name="north",
        tenant=tenant,
        added_at=now,
        balance_sat=SAT,
        payout_address="rb1qw508d6qejxtdg4y5r3zarvary0c5xw7k",
    )
    one, two = (
        models.Worker.objects.create(
            account=account,
            tenant=account.tenant,
            name=name,
            first_share_at=now,
            last_share_at=now,
            shares=10,
            work=1000 * parts,
            best=5.0,
        )
        for account, name, parts in ((site, SITE_WORKER, 2), (north, NORTH_WORKER, 1))
    )
    block = models.Block.objects.create(
        hash=HASH,
        height=840_123,
        found_at=now - timedelta(minutes=3),
        worker=one,
        account=site,
        state=BlockState.IN_CHAIN,
        state_at=now,
        confirmations=3,
        share_work=1,
        work_since=3000,
        network_work=2700,
        subsidy_sat=3 * SAT,
        fees_sat=0,
        scheme=Scheme.PPLNS,
    )
    _divide(block, one, two)
    return PoolSite(site, north, block)


def _divide(block: models.Block, one: models.Worker, two: models.Worker) -> None:
    """The block's window, two parts to one worker's account and one to the other's, and what they have of it."""
    now = utc_now()
    window = models.Window.objects.create(
        name=WINDOW,
        block=block,
        scheme=Scheme.PPLNS,
        first_slice=0,
        last_slice=1,
        network_work=2700,
        subsidy_sat=3 * SAT,
        fees_sat=0,
        fee_ppm=0,
        window_work=3000,
        total_work=3000,
        leaves=2,
        root=ROOT,
        published_at=now,
        ledger_index=0,
    )
    for worker, work in ((one, 2000), (two, 1000)):
        models.WindowLeaf.objects.create(window=window, worker=worker, tenant=worker.tenant, work=work)
    entry = models.Entry.objects.create(
        key=f"block:{HASH}", kind=EntryKind.CREDIT, at=now, block=block, window=window, digest="0" * 64
    )
    for account, sat in ((one.account, 2 * SAT), (two.account, SAT)):
        models.EntryChange.objects.create(entry=entry, account=account, tenant=account.tenant, sat=sat)


def status(**changes: Any) -> PoolStatus:
    """What a pool process says of itself."""
    told = Durations()
    for each in (0.8, 1.2, 40.0):
        told.add(each)
    latency = Latency(counts=tuple(told.counts), max_ms=told.max_ms)
    now_ms = int(utc_now().timestamp() * 1000)
    facts: dict[str, Any] = {
        "shard": 0,
        "at_ms": now_ms,
        "started_ms": now_ms - 3_600_000,
        "listening": True,
        "v1_connections": 40,
        "v2_connections": 7,
        "workers": 45,
        "accepted": 1234,
        "rejected": {"stale": 3},
        "by_firmware": {'bmminer "2.0"': {"accepted": 40, "stale": 3}},
        "windows": {"minute": Tally(60.0, 30, 30 * 4096.0, 30 * 4096.0**2, 4096.0)},
        "best": BestShare(difficulty=7.5e9, worker=SITE_WORKER, at_ms=now_ms),
        "blocks": 1,
        "expected_blocks": 0.8,
        "told": latency,
        "checked": latency,
        "template": TemplateStatus(
            height=840_124,
            fees_sat=4_000_000,
            best_fees_sat=5_000_000,
            value_sat=316_500_000,
            transactions=2500,
            weight=3_990_000,
            age_s=4.0,
            difficulty=8.3e13,
        ),
        "nodes": (
            NodeStatus(name="10.0.0.5:8332", standing="good", height=840_123, heard_s=0.3, followed=True),
            NodeStatus(name="10.0.0.6:8332", standing="silent", reason="no answer within 15 s"),
        ),
    }
    return PoolStatus(**facts | changes)


def speak(**changes: Any) -> None:
    """Have a pool process speak."""
    POOL.hear(msgspec.json.encode(status(**changes)))


class Minutes:
    """Stands for the telemetry of the pool: two workers, of which each answer keeps the accounts asked for."""

    workers_known = (SITE_WORKER, NORTH_WORKER)

    def __init__(self) -> None:
        self.asked: list[Sequence[str] | None] = []

    def _names(self, accounts: Sequence[str] | None, worker: str = "", text: str = "") -> list[str]:
        self.asked.append(accounts)
        names = [name for name in self.workers_known if accounts is None or name.partition(".")[0] in accounts]
        return [name for name in names if worker in {"", name} and text in name]

    def totals(self, _store: object, *, accounts: Sequence[str] | None = None, **_options: Any) -> Totals:
        count = len(self._names(accounts))
        if not count:
            return Totals(Tally(0.0), 0, 0.0, 0, 0.0, None)
        tally = Tally(3600.0, 360 * count, 360.0 * count * 1e6, 360.0 * count * 1e12, 1e6)
        return Totals(tally, 4 * count, 7.5e9, count, 1.6, utc_now())

    def workers(
        self, _store: object, *, accounts: Any = None, worker: str = "", text: str = "", **_: Any
    ) -> WorkerPage:
        rows = [self._row(name) for name in self._names(accounts, worker, text)]
        return WorkerPage(rows, len(rows))

    def _row(self, name: str) -> WorkerRow:
        rate = Rate(2e14, 1.8e14, 2.2e14)
        return WorkerRow(
            worker=name,
            account=name.partition(".")[0],
            agent="cgminer/4.12",
            protocol=1,
            hour=rate,
            day=rate,
            shares=360,
            rejected=4,
            best=7.5e9,
            blocks=0,
            seen_at=utc_now(),
            last_share_at=utc_now(),
        )

    def rejects(self, _store: object, *, accounts: Any = None, **_: Any) -> list[RejectRow]:
        return [RejectRow("cgminer/4.12", 360, 4, REASONS)] if self._names(accounts) else []

    def series(self, _store: object, *, accounts: Any = None, worker: str = "", **_: Any) -> HashrateSeries:
        count = len(self._names(accounts, worker))
        at = np.array([1_700_000_000, 1_700_000_060, 1_700_009_000][: 3 if count else 0], np.int64)
        value = np.full(len(at), 2e14 * count)
        newest = datetime.fromtimestamp(1_700_009_060, UTC) if count else None
        return HashrateSeries(at, value, 0.9 * value, 1.1 * value, np.zeros(len(at)), 60, newest)


def use(minutes: Minutes, patch: pytest.MonkeyPatch) -> None:
    """Have pages and API read these minutes."""
    for name in ("totals", "workers", "rejects", "series"):
        patch.setattr(telemetry, name, getattr(minutes, name))


def payment(proposer: Any, north: models.Account, state: PaymentState = PaymentState.DRAFT) -> models.Payment:
    """A payout as it stands in the books; its transaction pays nobody and is enough to look at."""
    unsigned = bytes.fromhex("02000000" + "01" + "11" * 32 + "00000000" + "00" + "ffffffff" + "01")
    unsigned += (1000).to_bytes(8, "little") + bytes.fromhex("160014" + "22" * 20 + "00000000")
    row = models.Payment.objects.create(
        state=state,
        reason="November",
        proposer=proposer,
        proposed_by=proposer.actor,
        proposed_at=utc_now(),
        approvals_needed=1,
        payer="recipients",
        fee_sat_kvb=5000,
        fee_sat=700,
        pool_fee_sat=0,
        amount_sat=1000,
        change_sat=0,
        weight=440,
        unsigned=unsigned,
    )
    models.PaymentOutput.objects.create(
        payment=row, account=north, tenant=north.tenant, index=0, address="rb1qx", amount_sat=1000, sent_sat=300
    )
    return row
