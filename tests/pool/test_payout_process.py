"""Payouts on a real node's chain: paid once through ``kill -9`` between any two steps, followed through
reorganisations, and agreed on by two persons at the command line."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

from mbongi.pool.adapters.node_paying import PayingNode
from mbongi.pool.adapters.node_rpc import NodeRpc
from mbongi.pool.adapters.practice_wallet import PracticeWallet, miners_address
from mbongi.pool.terms import PRACTICE
from mbongi.run import regtest
from mbongi.wire.bitcoin.address import networks, script_of_address
from mbongi.wire.bitcoin.block import Block
from mbongi.wire.bitcoin.hashing import display
from mbongi.wire.bitcoin.transaction import Transaction
from tests.pool.test_accounts_process import PoolSite
from tests.regtest import Chain as RunningChain
from tests.regtest import address_here, full_node

pytestmark = pytest.mark.system
Answer = TypeVar("Answer")
OWN_BLOCKS = 12
"""Blocks that pay to the practice wallet, after those that nobody spends; then as many as they need to ripen."""
FIRST_BLOCKS = regtest.SEGWIT_BLOCKS + OWN_BLOCKS
POINTS = ("proposed", "approved", "exported", "signed", "after_debit", "after_send")
PROGRAM = """
import asyncio, json, os, signal, sys
from mbongi.run.database import use_database
use_database()
from mbongi.base.clock import utc_now
from mbongi.base.config import load_config
from mbongi.core.identity.models import User
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.threads import ThreadBridge
from mbongi.pool import payment_rows, services
from mbongi.pool.adapters.node_paying import paying_nodes
from mbongi.pool.adapters.practice_wallet import PracticeWallet, miners_address
from mbongi.pool.daemon.paying import Paying
from mbongi.pool.daemon.practice import Practice
from mbongi.pool.models import Account, Coin, Entry
from mbongi.pool.terms import terms_of
from mbongi.run.pool_nodes import nodes_of

config = load_config()
asked = json.loads(sys.argv[1])

def owe():
    for name in asked["owe"]:
        Account.objects.get_or_create(
            name=name, defaults={"added_at": utc_now(), "payout_address": miners_address(name)}
        )
    services.credit(asked["key"], asked["owe"], services.Occasion("process:test"))

def people():
    for email, role in asked["people"].items():
        User.objects.create(email=email, name=email, role=role)

def has_come():
    rows = payment_rows.payments()
    return bool(rows) and rows[0].state == asked["until"]

def at(name):
    if name == asked.get("kill"):
        os.kill(os.getpid(), signal.SIGKILL)

async def pay():
    nodes = nodes_of(config)
    async with ThreadBridge() as bridge:
        terms, wallet = terms_of(config), PracticeWallet.of(config.site.data_dir)
        practice = Practice(bridge, terms, wallet, first_blocks=asked["first"], every_s=0.0, at_point=at)
        step = practice.step if asked["practice"] else None
        paying = Paying(bridge, paying_nodes(nodes), terms, practice=step, at_point=at)
        for _ in range(400):
            await paying.round()
            if await bridge.call(has_come):
                break
            if asked.get("mine") and await nodes[0].call("getrawmempool"):
                await nodes[0].call("generatetoaddress", 1, asked["mine"])
            await asyncio.sleep(0.05)
        else:
            raise SystemExit(f"never {asked['until']}: {await bridge.call(payment_rows.payments)}")
    for node in nodes:
        await node.close()

def told():
    return {
        "balances": {n: s for n, s in Account.objects.values_list("name", "balance_sat") if s and n[0] != "."},
        "float": dict(Account.objects.values_list("name", "balance_sat")).get(".float", 0),
        "payments": [[row.id, row.state, row.txid, row.amount_sat, row.fee_sat, row.block_hash, row.confirmations]
                     for row in payment_rows.payments()],
        "debits": list(Entry.objects.filter(key__startswith="payment:").order_by("id").values_list("key", flat=True)),
        "coins": sum(Coin.objects.filter(reserved_by=None, is_gone=False).values_list("value_sat", flat=True)),
    }

with acting(SITE):
    if "owe" in asked:
        owe()
    if "people" in asked:
        people()
if "until" in asked:
    asyncio.run(pay())
with acting(SITE):
    print(json.dumps(told()), flush=True)
"""


class PayoutSite(PoolSite):
    """A site whose payouts are driven round by round, each time by a process of its own."""

    def ask(self, *, dies: bool = False, **asked: Any) -> dict[str, Any]:
        asked = {"first": FIRST_BLOCKS, "practice": True} | asked
        result = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps(asked)],
            env=self.environment | {"DJANGO_SETTINGS_MODULE": "mbongi.settings"},
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        if dies:
            assert result.returncode == -signal.SIGKILL, result.stdout + result.stderr
            return {}
        assert result.returncode == 0, result.stdout + result.stderr
        return json.loads(result.stdout.splitlines()[-1])  # type: ignore[no-any-return]


class Chain:
    """The node, asked from outside."""

    def __init__(self, running: RunningChain) -> None:
        self.running, self.address, self.burned = running, running.address, running.burned

    def call(self, method: str, *arguments: Any) -> Any:
        return self._run(lambda rpc: rpc.call(method, *arguments))

    def mine(self, count: int = 1) -> None:
        self.call("generatetoaddress", count, self.burned)

    def transactions(self) -> list[Transaction]:
        """All after the first blocks, but coinbases."""
        return self._run(self._transactions)

    @staticmethod
    async def _transactions(rpc: NodeRpc) -> list[Transaction]:
        found, paying = [], PayingNode(rpc)
        for height in range(FIRST_BLOCKS + 1, (await paying.tip()).height + 1):
            block = Block.parse(await paying.block(await paying.block_hash(height) or ""))
            found += [Transaction.parse(raw) for raw in block.transactions[1:]]
        return found

    def _run(self, question: Callable[[NodeRpc], Any]) -> Any:
        async def asking() -> Any:
            rpc = NodeRpc(self.address)
            try:
                return await question(rpc)
            finally:
                await rpc.close()

        with ThreadPoolExecutor(1) as thread:  # the calling thread may have a loop of its own
            return thread.submit(asyncio.run, asking()).result()


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PayoutSite, Chain]]:
    directory = tmp_path_factory.mktemp("payouts")
    with full_node(tmp_path_factory.mktemp("node")) as running:
        # The practice wallet's network, whose addresses Bitcoin Core spells otherwise; the scripts are the same.
        site = PayoutSite(directory, running, network=PRACTICE, address="")
        chain = Chain(running)
        try:
            site.start("postgres")  # first: it opens the data folder for the system user that it runs as
            wallet = PracticeWallet.of(site.config.site.data_dir)
            chain.call("generatetoaddress", OWN_BLOCKS, address_here(wallet.script))
            chain.mine(100)
            assert site.command("migrate").returncode == 0
            yield site, chain
        finally:
            site.end_all()


def received(chain: Chain, account: str) -> int:
    """What an account's address has received in the chain [sat]."""
    script = script_of_address(miners_address(account), networks()["regtest-bcoin"])
    return sum(out.value_sat for each in chain.transactions() for out in each.outputs if out.script == script)


def test_a_balance_is_paid_exactly_once_through_kill_9_between_any_two_steps(bed: tuple[PayoutSite, Chain]) -> None:
    site, chain = bed
    owed = 0
    for number, point in enumerate(POINTS):
        owed += 1_000_000 + number
        site.ask(key=f"block:{point}", owe={"ada": 1_000_000 + number}, dies=True, kill=point, until="broadcast")
        told = site.ask(until="confirmed", mine=chain.burned)
        assert told["balances"] == {}, point

    assert len(told["payments"]) == len(told["debits"]) == len(POINTS)
    assert {state for _, state, *_ in told["payments"]} == {"confirmed"}
    assert sum(amount for _, _, _, amount, *_ in told["payments"]) == owed
    ids = [display(each.txid) for each in chain.transactions()]
    assert sorted(ids) == sorted(txid for _, _, txid, *_ in told["payments"])
    fees = sum(fee for _, _, _, _, fee, *_ in told["payments"])
    assert received(chain, "ada") == owed - fees
    # The float's coins less what was paid is what the float is worth still.
    assert told["coins"] == told["float"] - owed


def test_a_reorganisation_is_followed_and_nothing_is_paid_or_debited_twice(bed: tuple[PayoutSite, Chain]) -> None:
    site, chain = bed
    site.ask(key="block:reorganised", owe={"ben": 2_000_000}, until="broadcast")
    chain.mine(2)
    before = site.ask(until="confirmed")
    number, _state, txid, _amount, fee, block_hash, confirmations = before["payments"][0]
    assert confirmations == 2

    chain.call("invalidateblock", block_hash)
    assert site.ask(until="broadcast", practice=False)["payments"][0][5] == ""
    chain.mine(3)
    after = site.ask(until="confirmed", practice=False)

    assert after["payments"][0][:3] == [number, "confirmed", txid]
    assert after["payments"][0][5] not in {"", block_hash}
    assert after["debits"].count(f"payment:{number}") == 1
    assert [display(each.txid) for each in chain.transactions()].count(txid) == 1
    assert received(chain, "ben") == 2_000_000 - fee
    assert after["balances"] == {}


def test_two_persons_agree_at_the_command_line(bed: tuple[PayoutSite, Chain], tmp_path: Path) -> None:
    site, chain = bed
    people = {"ada@example.org": "shift_lead", "ben@example.org": "security_officer"}
    site.ask(people=people, key="block:by-hand", owe={"cleo": 3_000_000})
    file, signed = tmp_path / "payout.psbt", tmp_path / "signed.psbt"
    looked = site.command("payout", "propose", "--dry-run", "--fee-rate", "3")
    assert "pays 0.03000000 BTC to 1 accounts from 1 coins; fee 423 sat (3 sat/vB of 141 vB" in looked.stdout
    nobody = site.command("payout", "propose", "--reason", "weekly")
    assert (nobody.returncode, "nobody is named" in nobody.stderr) == (1, True)

    proposed = site.command("payout", "propose", "--as", "Ada@example.org", "--reason", "weekly", "--fee-rate", "3")
    assert proposed.returncode == 0, proposed.stderr
    number = proposed.stdout.split()[1]
    status = site.command("payout", "status", number).stdout
    txid = status.partition("unsigned transaction: ")[2].split()[0]
    own = site.command("payout", "approve", number, "--as", "ada@example.org", "--txid", txid)
    assert (own.returncode, "does not permit it" in own.stderr) == (1, True)
    approved = site.command("payout", "approve", number, "--as", "ben@example.org", "--txid", txid)
    assert "approved; export it" in approved.stdout, approved.stderr
    assert site.command("payout", "export", number, "--as", "ada@example.org", "--file", str(file)).returncode == 0
    unsigned = site.command("payout", "import", number, str(file), "--as", "ada@example.org")
    assert (unsigned.returncode, "not signed" in unsigned.stderr) == (1, True)
    signed.write_text(site.command("payout", "practice-sign", str(file)).stdout)
    imported = site.command("payout", "import", number, str(signed), "--as", "ada@example.org")
    assert f"transaction {txid} goes out" in imported.stdout, imported.stderr

    told = site.ask(until="confirmed", practice=False, mine=chain.burned)
    assert told["balances"] == {}
    assert received(chain, "cleo") == 3_000_000 - 423
    assert f"{number}  confirmed" in site.command("payout", "list").stdout
    verified = site.command("ledger", "verify")
    assert verified.returncode == 0, verified.stdout
    audited = site.command("pool-accounts", "audit")
    assert audited.returncode == 0, audited.stdout
