"""What blocks become in the books: credited by scheme, undone and restored, proven, and to the satoshi."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from django.db import transaction

from mbongi.core.bus.models import OutboxMessage
from mbongi.core.ledger import selectors as ledger
from mbongi.pool import selectors, services, verify_share_proof
from mbongi.pool.audit import audit
from mbongi.pool.daemon.importer import Importer
from mbongi.pool.errors import BalanceError
from mbongi.pool.models import Account, Block, Entry, EntryChange, PlannedScript, SliceWork, Window
from mbongi.pool.rules.block_record import BlockState, CoinbaseOutput
from mbongi.pool.rules.payout.amounts import work_of_difficulty
from mbongi.pool.rules.payout.coinbase_plan import coinbase_outputs
from mbongi.pool.services import Division, Occasion, Taken
from mbongi.pool.values import Scheme
from mbongi.wire.bitcoin.address import address_of_script, networks
from tests.pool.accounts_bed import BEGIN_MS, BITS, POOL_SCRIPT, SECRET, Logged, Logs, division, record

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]
REWARD_SAT = 5_000_001_000
ONE = work_of_difficulty(1.0)
TakeIn = Callable[[list[Logged]], None]


@pytest.fixture
def take_in(tmp_path: Path) -> Iterator[TakeIn]:
    logs = Logs(tmp_path)
    importer = Importer(logs.root, lambda _name: False)

    def write(shares: list[Logged]) -> None:
        logs.write(shares)
        while importer.step():
            pass

    yield write
    logs.close()


def balances() -> dict[str, int]:
    return {name: sat for name, sat in Account.objects.values_list("name", "balance_sat") if sat}


def events() -> list[str]:
    return [each.removeprefix("event.pool.") for each in OutboxMessage.objects.values_list("subject", flat=True)]


def assert_books_agree() -> None:
    assert audit(SECRET).differences == []


def test_a_block_in_the_chain_credits_its_window_by_work_to_the_satoshi(take_in: TakeIn) -> None:
    take_in([Logged("ada.one", 1), Logged("ben.one", 2), Logged("ada.two", 3, is_block=True), Logged("cy.one", 4)])

    taken = services.take_record(record(3), division(fee_ppm=10_000))

    fee_sat = REWARD_SAT // 100
    kept_sat = REWARD_SAT - fee_sat
    assert taken is Taken.BOOKED
    # By largest remainder: two thirds and one third of 4,950,000,990 sat leave no remainder.
    assert balances() == {"ada": kept_sat * 2 // 3, "ben": kept_sat // 3, ".fee": fee_sat}
    assert sum(balances().values()) == REWARD_SAT
    [block] = selectors.blocks()
    assert (block.scheme, block.state, block.subsidy_sat) == (Scheme.PPLNS, BlockState.IN_CHAIN, 5_000_000_000)
    assert (block.own_output_index, block.own_output_sat) == (0, REWARD_SAT)
    assert block.luck == pytest.approx(1 / 3)
    assert events() == ["block_found.v1", "window_proven.v1", "block_taken.v1"]
    assert_books_agree()


def test_the_same_record_again_changes_nothing_and_one_without_its_share_waits(take_in: TakeIn) -> None:
    take_in([Logged("ada.one", 3, is_block=True)])

    assert services.take_record(record(99), division()) is Taken.WAITS
    services.take_record(record(3), division())
    assert services.take_record(record(3), division()) is Taken.UNCHANGED

    assert balances() == {"ada": REWARD_SAT}
    assert Entry.objects.count() == 1


def test_a_block_that_no_node_has_yet_or_that_is_refused_is_not_credited(take_in: TakeIn) -> None:
    take_in([Logged("ada.one", 3, is_block=True)])

    services.take_record(record(3, state=BlockState.FOUND), division())
    services.take_record(record(3, state=BlockState.REFUSED, revision=2), division())

    assert balances() == {}
    assert_books_agree()


def test_a_reorganisation_takes_credits_back_and_another_gives_them_again(take_in: TakeIn) -> None:
    take_in([Logged("ada.one", 1), Logged("ben.one", 2, is_block=True)])
    states = [
        BlockState.IN_CHAIN,
        BlockState.BESIDE,
        BlockState.ORPHANED,
        BlockState.IN_CHAIN,
        BlockState.BESIDE,
        BlockState.SETTLED,
        BlockState.MATURE,
    ]
    seen = []
    for revision, state in enumerate(states, 1):
        services.take_record(record(2, state=state, revision=revision, is_at_rest=state == "mature"), division())
        seen.append(sum(balances().values()))
        assert_books_agree()

    assert seen == [REWARD_SAT, 0, 0, REWARD_SAT, 0, REWARD_SAT, REWARD_SAT]
    assert balances() == {"ada": REWARD_SAT // 2, "ben": REWARD_SAT // 2}
    assert [each.split(".")[0] for each in events()[2:]] == [
        "block_taken",
        "block_orphaned",
        "block_taken",
        "block_orphaned",
        "block_taken",
        "block_settled",
    ]
    assert [row.kind for row in selectors.changes(Account.objects.get(name="ada").pk)] == [*["reversal"] * 4, "credit"]
    assert Window.objects.count() == 1


def test_what_was_paid_out_before_an_orphan_is_owed_to_the_pool_and_made_up_by_later_blocks(take_in: TakeIn) -> None:
    take_in([Logged("ada.one", 2, is_block=True)])
    services.take_record(record(2), division())
    services.debit("payment:1", {"ada": REWARD_SAT}, Occasion("user:1", "payout"))
    services.take_record(record(2, state=BlockState.ORPHANED, revision=2), division())
    assert balances() == {"ada": -REWARD_SAT}
    take_in([Logged("ada.one", 5, is_block=True)])
    services.take_record(record(5), division())

    assert balances() == {}
    assert_books_agree()


def test_immature_money_is_owed_but_not_payable(take_in: TakeIn) -> None:
    take_in([Logged("ada.one", 2, is_block=True)])
    services.take_record(record(2), division())
    Account.objects.filter(name="ada").update(payout_address="somewhere")
    row = selectors.account("ada")
    assert row is not None
    assert (row.balance_sat, row.immature_sat, row.payable_sat) == (REWARD_SAT, REWARD_SAT, 0)
    assert selectors.payable_accounts() == []

    services.take_record(record(2, state=BlockState.MATURE, revision=2), division())

    assert [each.payable_sat for each in selectors.payable_accounts()] == [REWARD_SAT]


def test_pplns_reaches_back_over_blocks_as_far_as_its_window(take_in: TakeIn) -> None:
    take_in([Logged("old.one", n, is_block=n == 9) for n in range(10)])
    take_in([Logged("ada.one", 10, is_block=True)])
    take_in([Logged("ben.one", 11), Logged("ben.one", 12, is_block=True)])

    # A window of four shares of difficulty 1: the two since the last block, that block's own, and one of ten before.
    services.take_record(record(12), division(window=4))

    assert balances() == {"ben": REWARD_SAT // 2, "ada": REWARD_SAT // 4, "old": REWARD_SAT // 4}
    work = {row.worker.name: int(row.work) for row in Window.objects.get().leaf_rows.select_related("worker")}
    # A network block takes 2**32 hashes at difficulty 1, as a share of difficulty 1 does.
    assert work == {"ben.one": 2 * ONE, "ada.one": ONE, "old.one": ONE}
    assert_books_agree()


def test_tides_leaves_the_blocks_own_share_to_the_next(take_in: TakeIn) -> None:
    take_in([Logged("ada.one", 1), Logged("ben.one", 2, is_block=True)])

    services.take_record(record(2), division(Scheme.TIDES))

    assert balances() == {"ada": REWARD_SAT}
    assert_books_agree()


def test_tides_pays_the_finder_where_there_was_nobody_before(take_in: TakeIn) -> None:
    take_in([Logged("ben.one", 2, is_block=True)])

    services.take_record(record(2), division(Scheme.TIDES))

    assert balances() == {"ben": REWARD_SAT}
    assert_books_agree()


def test_solo_pays_the_finder_and_still_proves_everybodys_work(take_in: TakeIn) -> None:
    take_in([Logged("ada.one", 1), Logged("ben.one", 2, is_block=True)])
    take_in([Logged("ada.one", 3), Logged("ben.one", 4, is_block=True)])

    services.take_record(record(4), division(Scheme.SOLO, fee_ppm=1))

    assert balances() == {"ben": REWARD_SAT - 5_000, ".fee": 5_000}
    assert selectors.windows()[0].total_work == 2 * ONE
    assert_books_agree()


def test_donations_come_out_of_what_an_account_earns(take_in: TakeIn) -> None:
    take_in([Logged("ada.one", 1), Logged("ben.one", 2, is_block=True)])
    Account.objects.filter(name="ada").update(donation_ppm=250_000)
    services.take_record(record(2), division())
    Account.objects.filter(name="ada").update(donation_ppm=0)

    assert balances() == {
        "ada": 1_875_000_375,
        "ben": REWARD_SAT // 2,
        ".donations": 625_000_125,
    }
    assert_books_agree()


def test_what_a_coinbase_paid_directly_is_not_owed_again_and_foreign_outputs_are_nobodys(take_in: TakeIn) -> None:
    take_in([Logged("ada.one", 1), Logged("ben.one", 2, is_block=True)])
    script = "0014" + "11" * 20
    ada = Account.objects.get(name="ada")
    PlannedScript.objects.create(script=script, account=ada)
    Account.objects.filter(name="ada").update(payout_address="elsewhere since")
    outputs = (
        CoinbaseOutput(script, 2_000_000_000),
        CoinbaseOutput("0014" + "22" * 20, 1_000),
        CoinbaseOutput(POOL_SCRIPT, 3_000_000_000),
    )

    services.take_record(record(2, outputs=outputs, pool_output=2), division())

    assert balances() == {"ada": 500_000_000, "ben": 2_500_000_000}
    assert_books_agree()


def test_a_coinbase_made_by_the_plan_leaves_only_the_difference_to_the_balances(take_in: TakeIn) -> None:
    scripts = {name: "0014" + byte * 20 for name, byte in (("ada", "11"), ("ben", "22"), ("cy", "22"))}
    take_in([Logged(f"{name}.one", n) for n, name in enumerate(["ada"] * 5 + ["ben"] * 3 + ["cy", "dan"])])
    for name, script in scripts.items():
        address = address_of_script(bytes.fromhex(script), networks()["regtest"])
        Account.objects.filter(name=name).update(payout_address=address)
    note_height()
    terms = division(window=20, fee_ppm=20_000)

    plan = services.plan_coinbase(terms, minimum_sat=1_000)
    assert plan is not None
    outputs = coinbase_outputs(plan, REWARD_SAT, bytes.fromhex(POOL_SCRIPT), limit=20)
    take_in([Logged("dan.one", 50, is_block=True)])
    paid = tuple(CoinbaseOutput(each.script.hex(), each.value_sat) for each in outputs)
    services.take_record(record(50, outputs=paid), terms)

    # Two accounts of one address: the coinbase pays the one with more work, and the other by its balance.
    assert [each.script for each in paid] == [POOL_SCRIPT, scripts["ada"], scripts["ben"]]
    net_sat = REWARD_SAT - REWARD_SAT // 50
    assert [each.value_sat for each in paid[1:]] == [net_sat * 5 // 10, net_sat * 3 // 10]
    assert sum(each.value_sat for each in paid) == REWARD_SAT
    held = balances()
    assert sum(held.values()) == paid[0].value_sat
    assert held["ada"] == pytest.approx(net_sat * 5 / 11 - net_sat / 2, abs=2)
    assert held["cy"] == pytest.approx(net_sat / 11, abs=2)
    assert_books_agree()


@pytest.mark.parametrize("scheme", [Scheme.SOLO, Scheme.FPPS])
def test_a_scheme_that_does_not_know_before_pays_nobody_in_the_coinbase(take_in: TakeIn, scheme: Scheme) -> None:
    take_in([Logged("ada.one", 1)])
    note_height()

    assert services.plan_coinbase(division(scheme), minimum_sat=0) is None


def test_a_miner_checks_its_work_with_the_independent_verifier(take_in: TakeIn, tmp_path: Path) -> None:
    take_in([Logged(f"acct{n % 7}.rig{n}", n, difficulty=1.0 + n % 3) for n in range(40)])
    take_in([Logged("ada.one", 99, is_block=True)])
    services.take_record(record(99), division(window=1000))
    window = selectors.windows()[0]
    proof = selectors.share_proof(window.name, "acct3.rig10", SECRET)
    assert proof is not None
    [entry] = ledger.entries(subject=f"pool-window:{window.name}")

    assert entry.index == window.ledger_index
    assert _verify(tmp_path, proof.encoded(), entry.after["root"]) == (0, "PROVEN: acct3.rig10")
    fewer = dataclasses_like(proof, work=str(int(proof.work) - 1))
    other = dataclasses_like(proof, worker="acct3.rig11")
    longer = dataclasses_like(proof, path=[*proof.path, proof.path[0]])
    for forged in (fewer, other, longer):
        status, said = _verify(tmp_path, forged, entry.after["root"])
        assert status == 1
        assert said.startswith("NOT PROVEN")
    assert _verify(tmp_path, proof.encoded(), "00" * 32)[0] == 1
    assert selectors.share_proof(window.name, "nobody", SECRET) is None


def dataclasses_like(proof: msgspec.Struct, **changes: object) -> bytes:
    return msgspec.json.encode(msgspec.to_builtins(proof) | changes)


def _verify(folder: Path, proof: bytes, root: str) -> tuple[int, str]:
    path = folder / "proof.json"
    path.write_bytes(proof)
    words = [sys.executable, "-I", verify_share_proof.__file__, str(path), root]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout or done.stderr).split(" has ")[0].strip()


def fpps_division(fee_ppm: int = 0) -> Division:
    return dataclasses.replace(division(Scheme.FPPS, fee_ppm=fee_ppm))


def note_height(height: int = 500, fees_sat: int = 0) -> None:
    network_work = division().network_work(BITS)
    services.note_height(height, bits=BITS, network_work=network_work, subsidy_sat=5_000_000_000, fees_sat=fees_sat)


def test_fpps_pays_shares_out_of_the_reserve_whether_blocks_are_found_or_not(take_in: TakeIn) -> None:
    services.follow_scheme(Scheme.FPPS)
    services.put_aside(20_000_000_000)
    note_height(fees_sat=1_000)
    take_in([Logged("ada.one", n, difficulty=0.25) for n in range(3)])
    take_in([Logged("ben.one", 3, difficulty=0.5, is_block=True)])

    outcome = services.pay_periods(fpps_division(fee_ppm=20_000))
    services.take_record(record(3), fpps_division(fee_ppm=20_000))

    expected_sat = 1.25 * REWARD_SAT
    assert outcome.paid_sat == pytest.approx(expected_sat, abs=2)
    assert outcome.advised_sat is not None
    assert balances()["ada"] == pytest.approx(expected_sat * 0.98 * 0.6, abs=2)
    assert balances()["ben"] == pytest.approx(expected_sat * 0.98 * 0.4, abs=2)
    assert balances()[".reserve"] == 20_000_000_000 - outcome.paid_sat + REWARD_SAT
    assert sum(balances().values()) == 20_000_000_000 + REWARD_SAT
    assert services.pay_periods(fpps_division()).paid_sat == 0
    assert_books_agree()


def test_fpps_waits_while_the_reserve_is_too_small_and_pays_all_of_it_later(take_in: TakeIn) -> None:
    services.follow_scheme(Scheme.FPPS)
    note_height()
    take_in([Logged("ada.one", n) for n in range(2)])
    take_in([Logged("ben.one", 3, is_block=True)])

    short = services.pay_periods(fpps_division())
    assert (short.paid_sat, balances()) == (0, {})
    assert short.missing_sat == pytest.approx(3 * 5_000_000_000, abs=2)
    services.take_record(record(3), fpps_division())
    services.put_aside(short.missing_sat - REWARD_SAT)
    paid = services.pay_periods(fpps_division())

    assert paid.paid_sat == short.missing_sat
    assert balances().get(".reserve", 0) == 0
    assert_books_agree()


def test_fpps_periods_together_pay_what_one_would_have(take_in: TakeIn) -> None:
    services.follow_scheme(Scheme.FPPS)
    services.put_aside(10**12)
    note_height()
    for n in range(12):
        take_in([Logged("ada.one", n, difficulty=1 / 3, is_block=True)])
        services.pay_periods(fpps_division())

    work = 12 * work_of_difficulty(1 / 3)
    assert balances()["ada"] == 5_000_000_000 * work // division().network_work(BITS)
    assert_books_agree()


def test_fpps_pays_for_no_work_from_before_it_held(take_in: TakeIn) -> None:
    take_in([Logged("ada.one", 1, is_block=True)])
    services.follow_scheme(Scheme.FPPS)
    services.put_aside(10**12)
    note_height()
    assert services.pay_periods(fpps_division()).paid_sat == 0
    take_in([Logged("ben.one", 2, is_block=True)])
    services.pay_periods(fpps_division())

    assert "ada" not in balances()
    assert balances()["ben"] > 0


def test_the_reserve_follows_its_setting_and_never_gives_back_what_is_not_there() -> None:
    assert services.put_aside(1_000) == 1_000
    assert services.put_aside(1_000) == 0
    assert services.put_aside(400) == -600
    services.credit("period:x", {"ada": 300, ".reserve": -300}, Occasion("test"))

    with transaction.atomic(), pytest.raises(BalanceError, match="the balance is 100 sat"):
        services.put_aside(0)
    assert balances() == {"ada": 300, ".reserve": 100}


def test_a_block_whose_share_is_in_no_log_is_entered_from_its_record(take_in: TakeIn) -> None:
    take_in([Logged("ada.one", 1), Logged("ben.one", 2)])

    assert services.adopt_block(record(77, worker="cy.rig"), 0)
    assert events() == ["block_found.v1"]
    assert not services.adopt_block(record(77, worker="cy.rig"), 0)
    services.take_record(record(77, worker="cy.rig"), division())
    take_in([Logged("ada.one", 3), Logged("cy.rig", 77, is_block=True)])

    assert balances() == {"ada": REWARD_SAT // 2, "ben": REWARD_SAT // 2}
    assert Block.objects.get().worker.name == "cy.rig"
    assert events().count("block_found.v1") == 1
    assert_books_agree()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda: Account.objects.filter(name="ada").update(balance_sat=1), "account ada: balance: 1; of its entries"),
        (lambda: EntryChange.objects.filter(account__name="ben").update(sat=7), "digest"),
        (lambda: SliceWork.objects.filter(worker__name="ben.one").update(work=7), "work of 1 workers differs"),
        (lambda: Window.objects.update(root="00" * 32), "in the ledger"),
        (lambda: Block.objects.update(state=BlockState.ORPHANED), "orphaned, and its credit stands"),
        (lambda: Window.objects.update(fee_ppm=500_000), "the window gives"),
    ],
)
def test_the_audit_finds_what_was_altered(take_in: TakeIn, spoil: Callable[[], object], says: str) -> None:
    take_in([Logged("ada.one", 1, time_ms=BEGIN_MS), Logged("ben.one", 2, is_block=True)])
    services.take_record(record(2), division())
    assert_books_agree()

    spoil()

    assert says in "\n".join(audit(SECRET).differences)
