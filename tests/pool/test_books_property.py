"""Any history of shares, blocks, reorganisations, payments and schemes leaves books that agree to the satoshi."""

import random
from pathlib import Path

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbongi.pool import services
from mbongi.pool.audit import audit
from mbongi.pool.crediting import IN_CHAIN
from mbongi.pool.daemon.importer import Importer
from mbongi.pool.models import Account, Block, Cursor, Worker
from mbongi.pool.rules.block_record import BlockState
from mbongi.pool.services import Occasion
from mbongi.pool.values import Scheme
from tests.pool.accounts_bed import BEGIN_MS, BITS, SECRET, Logged, Logs, division, record

pytestmark = [pytest.mark.usefixtures("as_site")]
STATES = [BlockState.FOUND, BlockState.IN_CHAIN, BlockState.BESIDE, BlockState.SETTLED, BlockState.ORPHANED]


class History:
    """Acts at random, and remembers what the outcome has to be."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.chance, self.logs = chance, Logs(folder)
        self.importer = Importer(self.logs.root, lambda _name: False)
        self.number = 0
        self.written = 0
        self.rewards: dict[int, int] = {}
        self.states: dict[int, tuple[BlockState, int]] = {}
        self.paid = 0
        self.put = 0
        self.scheme = Scheme.PPLNS

    def shares(self) -> None:
        batch = []
        for _ in range(self.chance.randrange(1, 30)):
            self.number += 1
            is_block = self.chance.random() < 0.1
            if is_block:
                self.rewards[self.number] = self.chance.randrange(1, 700_000_000)
                self.states[self.number] = BlockState.FOUND, 0
            worker = f"acct{self.chance.randrange(5)}.{self.chance.randrange(3)}"
            time_ms = BEGIN_MS + self.number * 40_000
            difficulty = self.chance.choice([0.01, 1 / 3, 1.0, 7.0])
            batch.append(Logged(worker, self.number, difficulty, time_ms, is_block))
        self.logs.write(batch, shard=self.chance.randrange(2))
        self.written += len(batch)

    def take_in(self) -> None:
        while self.importer.step():
            pass

    def restart(self) -> None:
        self.importer = Importer(self.logs.root, lambda _name: False)

    def fate(self) -> None:
        if not self.states:
            return
        number = self.chance.choice(list(self.states))
        _state, revision = self.states[number]
        state = self.chance.choice(STATES)
        reward = self.rewards[number]
        found = record(
            number, state=state, revision=revision + 1, subsidy_sat=reward, fees_sat=0, outputs=(), pool_output=None
        )
        terms = division(
            self.scheme, window=self.chance.choice([0.5, 3.0, 50.0]), fee_ppm=self.chance.randrange(50_000)
        )
        if services.take_record(found, terms) is services.Taken.BOOKED:
            self.states[number] = state, revision + 1

    def pay(self) -> None:
        owed = dict(
            Account.objects.filter(balance_sat__gt=0, name__startswith="acct").values_list("name", "balance_sat")
        )
        if owed:
            amounts = {name: self.chance.randrange(1, sat + 1) for name, sat in owed.items()}
            services.debit(f"payment:{self.number}:{self.paid}", amounts, Occasion("test"))
            self.paid += sum(amounts.values())

    def give_away(self) -> None:
        name = f"acct{self.chance.randrange(5)}"
        Account.objects.filter(name=name).update(donation_ppm=self.chance.randrange(1_000_001))

    def change_scheme(self) -> None:
        self.scheme = self.chance.choice(list(Scheme))
        services.follow_scheme(self.scheme)

    def fund(self) -> None:
        self.put += self.chance.randrange(10**11)
        services.put_aside(self.put)

    def periods(self) -> None:
        services.note_height(
            500,
            bits=BITS,
            network_work=division().network_work(BITS),
            subsidy_sat=10**9,
            fees_sat=self.chance.randrange(9999),
        )
        services.pay_periods(division(Scheme.FPPS, fee_ppm=self.chance.randrange(50_000)))

    def check(self) -> None:
        assert audit(SECRET).differences == []
        held = {int(block.subsidy_sat or 0) for block in Block.objects.filter(state__in=IN_CHAIN)}
        expected = {self.rewards[number] for number, (state, _) in self.states.items() if state in IN_CHAIN}
        assert held == expected
        rewards = sum(self.rewards[number] for number, (state, _) in self.states.items() if state in IN_CHAIN)
        total = sum(Account.objects.values_list("balance_sat", flat=True))
        assert total == rewards + self.put - self.paid


@pytest.mark.django_db
@settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(seed=st.integers(0, 2**32), steps=st.integers(5, 60))
def test_books_agree_after_any_history(tmp_path_factory: pytest.TempPathFactory, seed: int, steps: int) -> None:
    history = History(tmp_path_factory.mktemp("logs"), random.Random(seed))
    acts = [history.shares] * 4 + [history.take_in] * 3 + [history.fate] * 5
    acts += [history.restart, history.pay, history.give_away, history.change_scheme, history.fund, history.periods]
    try:
        with transaction.atomic():
            for _ in range(steps):
                history.chance.choice(acts)()
            history.take_in()
            history.check()
            assert sum(Worker.objects.values_list("shares", flat=True)) == history.written
            assert sum(Cursor.objects.values_list("replays", flat=True)) == 0
            transaction.set_rollback(True)  # each history begins with empty books
    finally:
        history.logs.close()
