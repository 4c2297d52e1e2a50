"""The spans that a replay finds in rows of telemetry are those that the watch of the fleet process opens and clears."""

import numpy as np
import pytest

from mbongi.base.ids import MachineId
from mbongi.fleet.reading import MachineReading, StateChange
from mbongi.fleet.rules.conditions import RuleFigure, Watch
from mbongi.fleet.rules.healing import Figure, Mode, Rule, RuleDocument
from mbongi.fleet.rules.healing_spans import NEEDED, Span, columns_for, spans
from mbongi.fleet.values import EventKind, MachineState

MODEL = "Antminer S21"
ALL = Rule(1, 1, Mode.ON, RuleDocument(kinds=tuple(sorted(NEEDED))))
HOT = Rule(2, 1, Mode.ON, RuleDocument(figure=Figure(column="inlet_temp_c", above=40.0), for_s=120.0))
RESTS = Rule(3, 1, Mode.ON, RuleDocument(figure=Figure(column="asleep", above=0.5), for_s=60.0))
SLOW = Rule(4, 1, Mode.ON, RuleDocument(figure=Figure(column="hashrate_percent", below=70.0), for_s=60.0))
RULES = [ALL, HOT, RESTS, SLOW]


def watched(rows):
    """What the watch says of the same rows, ticking every second."""
    watch = Watch()
    watch.watch_figures([RuleFigure(r.part, r.document.figure, r.document.for_s) for r in (HOT, RESTS, SLOW)], 0)
    found: list[Span] = []
    state = None

    def note(changes, at_ms):
        for each in changes:
            if each.opened:
                found.append(Span(each.kind, each.part, each.at_ms, at_ms, None))
            else:
                same = [i for i, span in enumerate(found) if (span.kind, span.part) == (each.kind, each.part)]
                found[same[-1]] = found[same[-1]]._replace(cleared_ms=each.at_ms)

    for row, after in zip(rows, [*rows[1:], None], strict=True):
        if row.state != state:
            state = row.state
            change = StateChange(machine_id=MachineId(7), state=MachineState(state), before=None, at_ms=row.ts)
            note(watch.states([change]), row.ts)
        note(watch.readings([row]), row.ts)
        for at_ms in range(row.ts + 1000, after.ts + 1 if after else row.ts, 1000):
            note(watch.tick(at_ms), at_ms)
    return sorted(found)


def replayed(rows, rules=RULES):
    names = ("ts", "state", *columns_for(rules))
    return sorted(spans(rules, MODEL, {name: np.array([getattr(row, name) for row in rows]) for name in names}))


def row(at_s, state=MachineState.MINING, **figures):
    return MachineReading(ts=int(at_s * 1000), machine_id=7, model=MODEL, state=state.value, **figures)


def random_rows(seed, count=900):
    """Ten-second rows of a machine with much trouble: states, figures and their absence in random stretches."""
    random = np.random.default_rng(seed)
    rows, state = [], MachineState.MINING
    accepted, rejected, bad = 1000.0, 3.0, 0.0
    levels = {"chip_temp_max_c": 70.0, "fan1_rpm": 4000.0, "boards": 3.0, "share": 1.0, "inlet_temp_c": 30.0}
    for number in range(count):
        if random.random() < 0.02:
            state = MachineState(int(random.choice([0, 1, 2, 2, 2, 2, 3, 4, 5])))
        if random.random() < 0.05:
            levels |= {
                "chip_temp_max_c": float(random.choice([70, 82, 86, 90, np.nan])),
                "fan1_rpm": float(random.choice([0, 500, 4000, np.nan])),
                "boards": float(random.choice([2, 3, 3, np.nan])),
                "share": float(random.choice([0.6, 0.8, 0.9, 1.0])),
                "inlet_temp_c": float(random.choice([30, 41, 45])),
            }
            bad = float(random.choice([0.0, 0.03, 0.2]))
        if random.random() < 0.005:
            accepted, rejected = 0.0, 0.0
        accepted, rejected = accepted + 1, rejected + (random.random() < bad)
        silent = state in {MachineState.UNKNOWN, MachineState.OFF}
        figures = {
            "hashrate_ths": 200.0 * levels["share"],
            "hashrate_nominal_ths": 200.0,
            "chip_temp_max_c": levels["chip_temp_max_c"],
            "inlet_temp_c": levels["inlet_temp_c"],
            "fan1_rpm": levels["fan1_rpm"],
            "board_count": levels["boards"],
            "board_expected": 3.0,
            "accepted": accepted,
            "rejected": rejected,
        }
        rows.append(row(10 * number, state, **({} if silent else figures)))
    return rows


@pytest.mark.parametrize("seed", range(12))
def test_a_replay_finds_what_the_watch_saw(seed):
    rows = random_rows(seed)
    expected = watched(rows)

    assert replayed(rows) == expected
    assert len(expected) > 10, "the rows have trouble in them"


def test_a_condition_that_was_not_seen_to_end_has_no_end():
    rows = [row(10 * n, MachineState.FAULT if n > 5 else MachineState.MINING) for n in range(20)]

    assert replayed(rows, [ALL]) == [Span(EventKind.FAULT, "", 60_000, 90_000, None)]


def test_what_nobody_saw_for_a_while_begins_anew():
    hot = [row(at_s, chip_temp_max_c=90.0) for at_s in (0, 10, 300, 310, 320)]

    assert replayed(hot, [ALL]) == [Span(EventKind.OVER_TEMPERATURE, "", 300_000, 320_000, None)]


def test_rows_without_trouble_and_no_rows_have_no_spans():
    assert replayed([row(10 * n, chip_temp_max_c=70.0) for n in range(100)]) == []
    assert spans(RULES, MODEL, {name: np.array([]) for name in ("ts", "state", *columns_for(RULES))}) == []
