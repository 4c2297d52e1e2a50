"""Old details of the work are dropped once no window reaches them and nobody may ask for proofs; the books agree."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mbongi.pool import selectors, services
from mbongi.pool.audit import audit
from mbongi.pool.daemon.importer import Importer
from mbongi.pool.models import Account, Block, SliceWork, Window
from mbongi.pool.retention import Dropped, dropped
from mbongi.pool.rules.block_record import BlockState
from mbongi.pool.rules.payout.amounts import work_of_difficulty
from mbongi.pool.rules.tally import SLICE_MS
from mbongi.pool.values import Scheme
from tests.pool.accounts_bed import BEGIN_MS, BITS, SECRET, Logged, Logs, division, hash_text, record

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]
ONE = work_of_difficulty(1.0)
REWARD_SAT = 5_000_001_000
LATE = datetime(2100, 1, 1, tzinfo=UTC)
OURS = division(window=3)
"""A window of three shares of difficulty 1, so that twelve are in reach."""
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


def share(number: int, *, is_block: bool = False) -> Logged:
    """One share in each half hour, by two workers in turn."""
    worker = ("ada.one", "ben.one")[number % 2]
    return Logged(worker, number, time_ms=BEGIN_MS + number * SLICE_MS, is_block=is_block)


@pytest.fixture
def twenty(take_in: TakeIn) -> TakeIn:
    """Twenty slices of one share; the fifth made a block, which is credited and at rest."""
    take_in([share(number, is_block=number == 5) for number in range(1, 21)])
    services.take_record(record(5, state=BlockState.MATURE, is_at_rest=True), OURS)
    services.note_height(501, bits=BITS, network_work=ONE, subsidy_sat=5_000_000_000, fees_sat=0)
    return take_in


def slices_with_parts() -> list[int]:
    return sorted(set(SliceWork.objects.values_list("slice_id", flat=True)))


def drop(before: datetime = LATE, scheme: Scheme = Scheme.PPLNS) -> None:
    while services.drop_old_work(division(scheme, window=3), before):
        pass


def proof_of(window: str) -> object:
    return selectors.share_proof(window, "ada.one", SECRET)


def test_what_no_window_reaches_is_dropped_and_the_next_block_is_divided_as_ever(twenty: TakeIn) -> None:
    before = dict(Account.objects.values_list("name", "balance_sat"))
    drop()
    twenty([share(21, is_block=True)])
    services.take_record(record(21), OURS)

    # Of 20 slices of one share the newest twelve are within four windows of three.
    assert slices_with_parts() == list(range(9, 22))
    assert dropped() == Dropped(slices_to=8, windows_to=Window.objects.get(name=hash_text(5)).pk)
    # The last three: 19 and 21 are ben's, 20 is ada's.
    gained = {name: sat - before[name] for name, sat in Account.objects.values_list("name", "balance_sat")}
    assert gained["ada"] == REWARD_SAT // 3
    assert gained["ada"] + gained["ben"] == REWARD_SAT
    assert audit(SECRET).differences == []


def test_a_proof_may_be_asked_for_as_long_as_stated_and_its_root_stays(twenty: TakeIn) -> None:
    window = Window.objects.get()
    asked = window.published_at
    young = proof_of(window.name)
    drop(before=asked)
    still = proof_of(window.name)
    drop(before=asked + timedelta(seconds=1))

    assert young is not None
    assert young == still
    assert proof_of(window.name) is None
    assert Window.objects.get().root == window.root
    assert audit(SECRET).differences == []


def test_slices_of_a_window_that_can_still_be_proven_stay_for_the_audit(twenty: TakeIn) -> None:
    window = Window.objects.get()
    Window.objects.update(published_at=LATE)
    drop()

    assert slices_with_parts()[0] == window.first_slice
    assert audit(SECRET).differences == []


def test_while_a_block_is_not_at_rest_all_that_its_window_may_reach_stays(twenty: TakeIn) -> None:
    Block.objects.update(is_at_rest=False)
    drop()

    assert slices_with_parts() == list(range(1, 21))
    assert dropped() == Dropped()


@pytest.mark.parametrize("scheme", [Scheme.SOLO, Scheme.FPPS])
def test_a_window_back_to_the_block_before_is_in_reach_however_long_ago_that_was(
    twenty: TakeIn, scheme: Scheme
) -> None:
    drop(scheme=scheme)

    assert slices_with_parts()[0] == Block.objects.get().slice_id + 1  # type: ignore[operator]


def test_what_fpps_has_not_paid_for_stays(twenty: TakeIn) -> None:
    services.follow_scheme(Scheme.FPPS)
    from_slice = slices_with_parts()[-1] + 1
    twenty([share(number) for number in range(21, 60)])
    drop()

    assert slices_with_parts()[0] <= from_slice
    assert audit(SECRET).differences == []


def test_details_that_vanish_without_an_entry_in_the_ledger_are_noticed(twenty: TakeIn) -> None:
    drop()
    SliceWork.objects.filter(slice=9).delete()

    assert any(each.startswith("slice 9:") for each in audit(SECRET).differences)


def test_without_a_known_height_nothing_is_dropped(take_in: TakeIn) -> None:
    take_in([share(number) for number in range(1, 21)])
    drop()

    assert slices_with_parts() == list(range(1, 21))
