"""What a procedure may say and who may sign what, each row by hand; locks after OSHA 29 CFR 1910.147."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.facility.rules.procedures import (
    Entry,
    Fault,
    Finding,
    NotSigned,
    Outcome,
    ProcedureDocument,
    ProcedureKind,
    ProcedureStep,
    RunState,
    StepKind,
    faults_of,
    refusal,
    run_of,
)

ANA, BEN = 1, 2


def step(kind: StepKind = StepKind.ACT, **rest: Any) -> ProcedureStep:
    return ProcedureStep(kind=kind, **({"title": "do it"} | rest))


LOCK, UNLOCK = step(StepKind.LOCK, element="Q1"), step(StepKind.UNLOCK, element="Q1")
CHECK = step(StepKind.CHECK, low=0.0, high=5.0, unit="V")
WORK = ProcedureDocument(
    purpose="Change a breaker",
    steps=[step(StepKind.PERMIT), step(), LOCK, CHECK, step(StepKind.HOLD), step(), UNLOCK],
    back_out=[step(title="close Q1")],
)


def document(*steps: ProcedureStep, back_out: Sequence[ProcedureStep] = (), purpose: str = "why") -> ProcedureDocument:
    return ProcedureDocument(purpose=purpose, steps=steps, back_out=back_out)


@pytest.mark.parametrize(
    ("found", "kind", "faults"),
    [
        (WORK, ProcedureKind.MOP, []),
        (document(step(), purpose=" "), ProcedureKind.SOP, [Finding(Fault.NO_PURPOSE)]),
        (document(), ProcedureKind.SOP, [Finding(Fault.NO_STEPS)]),
        (document(step()), ProcedureKind.MOP, [Finding(Fault.NO_WAY_BACK)]),
        (document(*[step()] * 201), ProcedureKind.SOP, [Finding(Fault.TOO_MANY)]),
        (document(step(title=" ")), ProcedureKind.SOP, [Finding(Fault.NO_TITLE, 1)]),
        (document(step(text="x" * 1001)), ProcedureKind.EOP, [Finding(Fault.TOO_LONG, 1)]),
        (document(step(StepKind.HOLD), step()), ProcedureKind.SOP, [Finding(Fault.FIRST_IS_HOLD, 1)]),
        (document(step(StepKind.CHECK)), ProcedureKind.SOP, [Finding(Fault.NO_LIMITS, 1)]),
        (document(step(StepKind.CHECK, low=5.0, high=1.0)), ProcedureKind.SOP, [Finding(Fault.LIMITS_CROSSED, 1)]),
        (document(step(StepKind.CHECK, low=float("nan"))), ProcedureKind.SOP, [Finding(Fault.LIMITS_CROSSED, 1)]),
        (document(step(), LOCK), ProcedureKind.SOP, [Finding(Fault.NEVER_UNLOCKED, 2)]),
        (document(UNLOCK), ProcedureKind.SOP, [Finding(Fault.NEVER_LOCKED, 1)]),
        (document(LOCK, LOCK, UNLOCK), ProcedureKind.SOP, [Finding(Fault.LOCKED_TWICE, 2)]),
        (document(LOCK, UNLOCK, LOCK, UNLOCK), ProcedureKind.SOP, []),
        (
            document(step(StepKind.LOCK), back_out=[step(title="")]),
            ProcedureKind.SOP,
            [Finding(Fault.NO_ELEMENT, 1), Finding(Fault.NO_TITLE, 1, back_out=True), Finding(Fault.NEVER_UNLOCKED, 1)],
        ),
    ],
)
def test_what_keeps_a_document_from_being_used_is_named_with_its_step(
    found: ProcedureDocument, kind: ProcedureKind, faults: list[Finding]
) -> None:
    assert faults_of(found, kind) == faults


def done(number: int, who: int = ANA, **rest: Any) -> Entry:
    return Entry(number, Outcome.DONE, who, **rest)


def play(entries: list[Entry], found: ProcedureDocument = WORK, *, backing_out: bool = False) -> list[str]:
    """Sign them in turn; why each was refused, or the state after it."""
    taken: list[Entry] = []
    told = []
    for entry in entries:
        run = run_of(found, taken, backing_out=backing_out)
        why = None if entry.removes else refusal(found, run, entry, note="")
        if why is None:
            taken.append(entry)
        told.append(str(why or run_of(found, taken, backing_out=backing_out).state))
    return told


def test_a_run_is_signed_in_order_with_what_each_step_asks_for() -> None:
    told = play([
        done(1),  # the permit is first
        done(0),  # and it has a number
        done(0, reference="P-7"),
        done(1),
        done(2, reference="lock 4"),
        done(3),  # the reading is missing
        done(3, value=230.0),  # still live
        done(3, value=0.4),
        done(4, ANA),  # whoever measured does not release the hold
        done(4, BEN),
        done(5),
        done(6, BEN),  # Ana's lock
        done(6, ANA),
        done(6, ANA),
    ])  # fmt: skip

    assert told == [
        NotSigned.NOT_NEXT,
        NotSigned.NO_REFERENCE,
        *[RunState.RUNNING] * 3,
        NotSigned.NO_VALUE,
        NotSigned.OUT_OF_LIMITS,
        RunState.RUNNING,
        NotSigned.SAME_PERSON,
        *[RunState.RUNNING] * 2,
        NotSigned.NOT_THEIRS,
        RunState.DONE,
        NotSigned.OVER,
    ]


def test_a_failed_step_holds_the_run_until_it_is_done_after_all() -> None:
    found = document(step(), step(StepKind.HOLD))
    failed = Entry(0, Outcome.FAILED, ANA)

    assert refusal(found, run_of(found, [], backing_out=False), failed, note="") is NotSigned.NO_NOTE
    held = run_of(found, [failed], backing_out=False)
    assert (held.state, held.next_step) == (RunState.HELD, 0)
    assert run_of(found, [failed, done(0, BEN)], backing_out=False).next_step == 1


@pytest.mark.parametrize("kind", [StepKind.HOLD, StepKind.PERMIT, StepKind.LOCK, StepKind.UNLOCK])
def test_what_guards_people_is_never_left_out(kind: StepKind) -> None:
    found = document(step(), step(kind, element="Q1"))
    run = run_of(found, [done(0)], backing_out=False)

    left_out = Entry(1, Outcome.NOT_APPLICABLE, BEN)
    assert refusal(found, run, left_out, note="not needed today") is NotSigned.CANNOT_BE_LEFT_OUT


def test_a_step_is_left_out_with_a_word_on_why() -> None:
    found = document(step(), step())
    left_out = Entry(0, Outcome.NOT_APPLICABLE, ANA)

    assert refusal(found, run_of(found, [], backing_out=False), left_out, note=" ") is NotSigned.NO_NOTE
    assert refusal(found, run_of(found, [], backing_out=False), left_out, note="no such valve") is None
    assert run_of(found, [left_out], backing_out=False).next_step == 1


def test_the_way_back_is_over_once_no_lock_is_on() -> None:
    locked = [done(0, reference="P-7"), done(1), done(2, reference="lock 4")]
    back = [*locked, done(0, BEN, back_out=True)]

    assert run_of(WORK, locked, backing_out=True).next_step == 0
    waiting = run_of(WORK, back, backing_out=True)
    assert (waiting.state, waiting.next_step, dict(waiting.locks)) == (RunState.BACKING_OUT, None, {"Q1": ANA})
    off = [*back, done(0, ANA, back_out=True, removes="Q1")]
    assert run_of(WORK, off, backing_out=True).state is RunState.BACKED_OUT


def test_a_run_without_a_way_back_ends_as_soon_as_it_is_left() -> None:
    assert run_of(document(step()), [], backing_out=True).state is RunState.BACKED_OUT


def test_a_lock_that_was_taken_off_for_somebody_is_confirmed_by_whoever_goes_on() -> None:
    found = document(LOCK, UNLOCK)
    entries = [done(0, ANA, reference="4"), done(0, BEN, removes="Q1")]

    assert refusal(found, run_of(found, entries, backing_out=False), done(1, BEN), note="") is None


KINDS = st.sampled_from([StepKind.ACT, StepKind.CHECK, StepKind.HOLD, StepKind.PERMIT])


@given(st.lists(KINDS, min_size=1, max_size=8), st.lists(st.tuples(st.integers(0, 8), st.integers(1, 2)), max_size=40))
def test_no_order_of_signatures_skips_a_step(kinds: list[StepKind], tries: list[tuple[int, int]]) -> None:
    found = document(step(), *(step(kind, low=0.0) for kind in kinds))
    taken: list[Entry] = []
    for number, who in tries:
        entry = done(number, who, value=1.0, reference="7")
        if refusal(found, run_of(found, taken, backing_out=False), entry, note="") is None:
            taken.append(entry)
    assert [entry.step for entry in taken] == list(range(len(taken)))
    for before, after in pairwise(taken):
        assert found.steps[after.step].kind is not StepKind.HOLD or before.signer_id != after.signer_id
    is_done = run_of(found, taken, backing_out=False).state is RunState.DONE
    assert is_done == (len(taken) == len(found.steps))


def test_whoever_did_the_work_cannot_release_it_after_somebody_refused_the_hold_or_took_a_lock_off() -> None:
    found = document(step(), step(StepKind.HOLD))
    for between in (Entry(1, Outcome.FAILED, BEN), Entry(0, Outcome.DONE, BEN, removes="Q1")):
        run = run_of(found, [done(0, ANA), between], backing_out=False)
        assert refusal(found, run, done(1, ANA), note="") is NotSigned.SAME_PERSON
        assert refusal(found, run, done(1, BEN), note="") is None


def test_a_lock_of_the_way_back_does_not_take_the_place_of_somebody_elses() -> None:
    found = document(LOCK, step(), UNLOCK, back_out=[LOCK, step(), UNLOCK])
    run = run_of(found, [done(0, ANA, reference="4")], backing_out=True)
    assert refusal(found, run, done(0, BEN, reference="5", back_out=True), note="") is NotSigned.NOT_THEIRS
    assert refusal(found, run, done(0, ANA, reference="5", back_out=True), note="") is None
