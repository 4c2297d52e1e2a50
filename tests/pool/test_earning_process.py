"""The whole way of a satoshi on a real node: hashed over both protocols, credited, paid from a wallet of which the pool
sees only files, confirmed, added up again. Bitcoin Core's own wallet signs; beside bcoin, the practice wallet."""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mbongi.pool.adapters.practice_wallet import PracticeWallet
from mbongi.pool.terms import PRACTICE
from mbongi.run.pool_identity import Identity
from mbongi.wire.bitcoin.hashing import display
from mbongi.wire.bitcoin.psbt import Psbt
from mbongi.wire.bitcoin.transaction import Transaction
from mbongi.wire.stratum_v2 import mining
from tests.pool.practice import Miner
from tests.pool.test_payout_process import Chain, PayoutSite
from tests.pool.v2_miner import V2Miner
from tests.regtest import NETWORK, PROGRAM, address_here, full_node
from tests.system.running import until

pytestmark = pytest.mark.system
WALLETS = ("bech32m", "bech32", "p2sh-segwit") if PROGRAM else ("practice",)
"""What the pool's blocks pay to; the kinds of address of Bitcoin Core's wallet."""
EASY = (0xFFFF << 208) * 2**20
"""4,096 hashes: what the pool counts as a block here."""
PAID = {
    "ada": bytes.fromhex("5120" + "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),
    "ben": bytes.fromhex("0014" + "5b" * 20),
}
"""Where the miners are paid to: taproot (the key is the generator), for which bcoin has no rules, and p2wpkh."""
PEOPLE = {"ada@example.org": "shift_lead", "ben@example.org": "security_officer"}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with full_node(tmp_path_factory.mktemp("node")) as running:
        made = Chain(running)
        if PROGRAM:
            made.call("createwallet", "outside")
        yield made


@pytest.fixture(params=WALLETS)
def site(chain: Chain, request: pytest.FixtureRequest) -> Iterator[PayoutSite]:
    settings: dict[str, Any] = {"network": NETWORK, "practice_payouts": False}
    if request.param == "practice":
        settings["network"] = PRACTICE
    else:
        settings["address"] = chain.call("getnewaddress", "", request.param)
    if request.param == "p2sh-segwit":
        settings["spend_script"] = chain.call("getaddressinfo", settings["address"])["hex"]
    # Not in pytest's own folder, which is private: the embedded database's system user must pass through.
    with tempfile.TemporaryDirectory(prefix="mbongi-earning-") as folder:
        Path(folder).chmod(0o711)
        made = PayoutSite(Path(folder), chain.running, **settings)
        try:
            made.start("postgres")
            assert made.command("migrate").returncode == 0
            made.ask(people=PEOPLE)
            made.start("pool", "pool-accounts")
            yield made
        finally:
            made.end_all()


def sign(site: PayoutSite, chain: Chain, text: str, fee_sat: int) -> str:
    """The file with its signatures; Bitcoin Core says first what it reads in it."""
    if not PROGRAM:
        return PracticeWallet.of(site.config.site.data_dir).sign(Psbt.from_base64(text)).to_base64()
    read = chain.call("analyzepsbt", text)
    assert round(read["fee"] * 10**8) == fee_sat
    assert all(each["has_utxo"] and not each["is_final"] for each in read["inputs"])
    paid = {out["scriptPubKey"]["hex"] for out in chain.call("decodepsbt", text)["tx"]["vout"]}
    assert {each.hex() for each in PAID.values()} <= paid
    processed = chain.call("walletprocesspsbt", text)
    assert processed["complete"] is True
    return str(processed["psbt"])


def done(site: PayoutSite, *words: str) -> str:
    result = site.command("payout", *words)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def pay(site: PayoutSite, chain: Chain, folder: Path, *words: str) -> tuple[str, Transaction]:
    """Propose, approve, sign outside, bring back; the payout's number and its unsigned transaction."""
    proposed = done(site, *words, "--as", "ada@example.org", "--reason", "weekly").split()
    number = proposed[1]
    status = done(site, "status", number)
    txid = status.partition("unsigned transaction: ")[2].split()[0]
    done(site, "approve", number, "--as", "ben@example.org", "--txid", txid)
    file, signed = folder / f"{number}.psbt", folder / f"{number}-signed.psbt"
    done(site, "export", number, "--as", "ada@example.org", "--file", str(file))
    text = file.read_text().strip()
    fee_sat = int(status.partition("fee ")[2].split()[0])
    signed.write_text(sign(site, chain, text, fee_sat))
    done(site, "import", number, str(signed), "--as", "ada@example.org")
    return number, Psbt.from_base64(text).transaction


async def both_find_blocks(site: PayoutSite, chain: Chain) -> None:
    """A miner of each protocol finds a block."""
    key = Identity(site.config.site.data_dir / "secrets").authority_key
    first = await Miner.connect(site.config.pool.port, worker="ada.one")
    before = chain.call("getblockcount")
    assert (await first.submit(first.solve(target=EASY), worker="ada.one"))["result"] is True
    await asyncio.to_thread(until, lambda: chain.call("getblockcount") == before + 1, 60, site.said)
    second = await V2Miner.shake_hands(site.config.pool.v2_port, key, now_s=int(time.time()))
    await second.open(extended=True, user="ben.two")
    while second.tip is None or display(second.tip.prev_hash) != chain_tip(chain):
        await second.hear(mining.SetNewPrevHash)
    second.say(second.solve(target=EASY))
    await second.hear(mining.SubmitSharesSuccess)
    await asyncio.to_thread(until, lambda: chain.call("getblockcount") == before + 2, 60, site.said)
    first.close()
    second.close()


def chain_tip(chain: Chain) -> str:
    return str(chain.call("getbestblockhash"))


async def test_what_miners_of_both_protocols_earn_is_paid_to_them_from_a_wallet_outside(
    site: PayoutSite, chain: Chain, tmp_path: Path
) -> None:
    await both_find_blocks(site, chain)
    await asyncio.to_thread(earned_and_paid, site, chain, tmp_path)


def earned_and_paid(site: PayoutSite, chain: Chain, folder: Path) -> None:
    until(lambda: set(site.books()["balances"]) == set(PAID), 60, site.said)
    books = site.books()
    rewards = sum(subsidy + fees for _state, subsidy, fees in books["blocks"].values())
    assert sum(books["balances"].values()) == rewards
    for account, script in PAID.items():
        who = ("--as", "ada@example.org", "--reason", "asked")
        done(site, "address", account, address_here(script), *who)
    chain.mine(100)
    until(lambda: " in 2 to spend" in done(site, "status"), 60, site.said)
    until(lambda: "pays " in site.command("payout", "propose", "--dry-run").stdout, 60, site.said)

    number, unsigned = pay(site, chain, folder, "propose", "--fee-rate", "2")
    waiting = lambda: chain.call("getrawmempool")  # noqa: E731
    until(lambda: len(waiting()) == 1, 60, site.said)
    if PROGRAM:  # bcoin takes no transaction in another's place
        [first] = waiting()
        number, unsigned = pay(site, chain, folder, "replace", number, "--fee-rate", "9")
        until(lambda: waiting() not in ([], [first]), 60, site.said)
        entry = chain.call("getmempoolentry", waiting()[0])
        assert 9 * entry["vsize"] <= round(entry["fees"]["base"] * 10**8) <= 9.2 * entry["vsize"]
    chain.mine()
    until(lambda: f"{number}  confirmed" in done(site, "list"), 60, site.said)

    paid = {out.script: out.value_sat for out in unsigned.outputs}
    told = site.ask()
    [(amount, fee)] = [(amount, fee) for _, state, _, amount, fee, *_ in told["payments"] if state == "confirmed"]
    assert told["balances"] == {}
    assert amount == rewards
    assert sum(paid[script] for script in PAID.values()) == rewards - fee
    for words in (("pool-accounts", "audit"), ("ledger", "verify")):
        result = site.command(*words)
        assert result.returncode == 0, result.stdout + result.stderr
