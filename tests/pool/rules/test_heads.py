"""Which node to build on, told in words; the numbers are of a chain at block 100 whose blocks take work 1000 each."""

import dataclasses
from typing import Any

import pytest

from mbongi.pool.rules.heads import Choice, Head, Limits, Standing, Verdict, choose

NOW_S, UNIX_S = 10_000.0, 1_800_000_000.0
LIMITS = Limits()


def head(name: str, *, blocks: int = 100, best_hash: str = "", **changes: object) -> Head:
    """A node that answered a second ago and whose tip came a minute ago."""
    made = Head(
        name,
        asked_since_s=0.0,
        heard_at_s=NOW_S - 1,
        chain="main",
        blocks=blocks,
        headers=blocks,
        work=1000 * blocks,
        best_hash=best_hash or f"h{blocks}",
        tip_work=1000,
        tip_time_s=UNIX_S - 60,
        changed_at_s=NOW_S - 60,
    )
    return dataclasses.replace(made, **changes)


def decide(*heads: Head, current: str | None = None, limits: Limits = LIMITS) -> Choice:
    return choose(heads, now_s=NOW_S, unix_s=UNIX_S, limits=limits, chains={"main"}, current=current)


def standing(choice: Choice, name: str) -> Standing:
    return choice.verdicts[name].standing


def test_the_node_with_the_most_work_is_built_on_at_once() -> None:
    new = head("b", blocks=101, changed_at_s=NOW_S)

    choice = decide(head("a"), new, current="a")

    assert (choice.name, choice.in_sync, choice.reason) == ("b", True, "")
    assert standing(choice, "a") is Standing.GOOD


def test_more_work_wins_over_more_blocks() -> None:
    choice = decide(head("a", blocks=101, work=99_000), head("b", blocks=100))
    assert choice.name == "b"


def test_among_equals_the_one_in_use_stays_and_at_first_the_preferred_one_is_taken() -> None:
    two = head("a", best_hash="x"), head("b", best_hash="y")
    assert decide(*two).name == "a"
    assert decide(*two, current="b").name == "b"


@pytest.mark.parametrize(
    ("change", "expected", "words"),
    [
        ({"heard_at_s": NOW_S - 16, "trouble": "refused"}, Standing.SILENT, "refused"),
        ({"heard_at_s": NOW_S - 16}, Standing.SILENT, "no answer for 16 s"),
        ({"chain": "test"}, Standing.WRONG_CHAIN, "chain test; expected main"),
        ({"is_downloading": True}, Standing.DOWNLOADING, "at block 100 of 100"),
        ({"headers": 102}, Standing.DOWNLOADING, "at block 100 of 102"),
        ({"tip_work": 0}, Standing.FORGED, "does not meet its target"),
    ],
)
def test_a_node_that_must_not_be_used_leaves_the_pool_without_one(
    change: dict[str, object], expected: Standing, words: str
) -> None:
    choice = decide(head("a", **change), current="a")

    assert (choice.name, choice.in_sync, standing(choice, "a")) == (None, False, expected)
    assert choice.reason.startswith("node a: ")
    assert words in choice.reason


def test_a_header_that_is_ahead_of_its_block_is_no_download() -> None:
    assert decide(head("a", headers=101)).in_sync is True


def test_another_node_takes_over_from_one_that_must_not_be_used() -> None:
    choice = decide(head("a", headers=105), head("b"), current="a")
    assert (choice.name, choice.in_sync) == ("b", True)


def test_no_node_configured_is_a_plain_no() -> None:
    assert decide() == Choice(name=None, in_sync=False, reason="no node is configured")


def test_before_the_first_answer_nothing_is_known() -> None:
    new = Head("a", asked_since_s=NOW_S - 2)
    assert (decide(new).name, decide(new).in_sync) == (None, None)
    assert decide(dataclasses.replace(new, asked_since_s=NOW_S - 16)).in_sync is False


def test_a_node_that_fails_once_is_kept_while_its_silence_says_nothing() -> None:
    failing = head("a", heard_at_s=NOW_S - 5, trouble="connection ended")

    assert decide(failing, current="a").name == "a"
    assert decide(failing, current="a").in_sync is None
    assert decide(failing, head("b"), current="a").name == "b"


def test_a_tip_that_is_hours_old_is_not_known_to_be_the_tip() -> None:
    old = head("a", tip_time_s=UNIX_S - 7201)

    choice = decide(old, current="a")

    assert (choice.name, choice.in_sync, standing(choice, "a")) == ("a", None, Standing.QUIET)
    assert "120 minutes old" in choice.reason
    assert decide(old, head("b", blocks=99), current="a").name == "b"
    assert decide(old, limits=Limits(quiet_s=None)).in_sync is True


def test_a_node_is_behind_once_it_had_the_time_to_take_over_the_others_block() -> None:
    fresh = decide(head("a"), head("b", blocks=101, changed_at_s=NOW_S - 29))
    late = decide(head("a"), head("b", blocks=101, changed_at_s=NOW_S - 31))

    assert standing(fresh, "a") is Standing.GOOD
    assert standing(late, "a") is Standing.BEHIND
    assert late.verdicts["a"].reason == "at block 100; node b is at 101"
    assert late.in_sync is True


def test_a_node_that_stands_still_stays_behind_when_the_others_move_on() -> None:
    choice = decide(head("a", blocks=97, changed_at_s=NOW_S - 2000), head("b", changed_at_s=NOW_S - 1))
    assert standing(choice, "a") is Standing.BEHIND


def test_the_blocks_of_a_node_that_fell_silent_are_not_forgotten() -> None:
    silent = head("b", blocks=102, heard_at_s=NOW_S - 40, trouble="no answer")

    choice = decide(head("a"), silent, current="b")

    assert (choice.name, choice.in_sync) == ("a", None)
    assert "node a: at block 100; node b, heard 40 s ago, is at 102" in choice.reason
    one_more = decide(head("a"), dataclasses.replace(silent, blocks=101, work=101_000))
    assert one_more.in_sync is True


def test_a_head_that_all_others_keep_out_of_their_chains_is_not_built_on() -> None:
    liar = head("a", blocks=110, best_hash="lie", denied_by=frozenset({"b", "c"}))

    choice = decide(liar, head("b"), head("c"), current="a")

    assert (choice.name, choice.in_sync, standing(choice, "a")) == ("b", True, Standing.ALONE)
    assert "head lie at 110 is in none of 2 other nodes' chains" in choice.verdicts["a"].reason
    assert standing(choice, "b") is Standing.GOOD


@pytest.mark.parametrize(
    "change",
    [{"changed_at_s": NOW_S - 29}, {"denied_by": frozenset({"b"})}],
    ids=["the others had no time to take it over", "one of them has it"],
)
def test_a_head_ahead_is_trusted_until_all_others_deny_it(change: dict[str, object]) -> None:
    ahead = head("a", blocks=101, best_hash="new", denied_by=frozenset({"b", "c"}))
    assert decide(dataclasses.replace(ahead, **change), head("b"), head("c")).name == "a"


def test_between_two_nodes_proof_of_work_decides() -> None:
    ahead = head("a", blocks=110, best_hash="other", denied_by=frozenset({"b"}))

    assert decide(ahead, head("b")).name == "a"
    easy = decide(dataclasses.replace(ahead, tip_work=249), head("b"))
    assert (easy.name, standing(easy, "a")) == ("b", Standing.FORGED)


def test_a_retarget_to_a_quarter_is_no_forgery_and_test_chains_may_have_any_work() -> None:
    assert decide(head("a", blocks=101, tip_work=250), head("b")).name == "a"
    assert decide(head("a", blocks=101, tip_work=1), head("b"), limits=Limits(tip_work_least=0)).name == "a"


def unfit(name: str, **changes: Any) -> Head:
    return head(name, unfit_until_s=NOW_S + 1, unfit_reason="no template", **changes)


def test_a_node_without_usable_templates_is_passed_over_while_there_is_another() -> None:
    choice = decide(unfit("a"), head("b"), current="a")
    assert (choice.name, choice.in_sync) == ("b", True)
    assert choice.verdicts["a"] == Verdict(Standing.UNFIT, "no template")
    assert decide(head("a", unfit_until_s=NOW_S), head("b"), current="a").name == "a"


def test_the_last_node_is_tried_on_though_its_templates_are_not_usable_and_the_pool_is_out_of_sync() -> None:
    choice = decide(unfit("a"), head("b", heard_at_s=NOW_S - 100))
    assert (choice.name, choice.in_sync) == ("a", False)
    assert "node a: no template" in choice.reason


def test_a_node_far_behind_one_without_usable_templates_is_no_certain_ground() -> None:
    choice = decide(unfit("a", blocks=110), head("b", blocks=100))
    assert (choice.name, choice.in_sync) == ("b", None)
    assert standing(choice, "b") is Standing.BEHIND
