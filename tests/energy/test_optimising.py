"""Plans: small ones by hand, larger ones against linopy's formulation, and what happens where there is none."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from mbongi.energy.adapters.highs import Highs
from mbongi.energy.errors import NoPlanError, ProblemError
from mbongi.energy.optimising import optimise
from mbongi.energy.ports import Found
from mbongi.energy.rules.dispatch.baseline import do_nothing
from mbongi.energy.rules.dispatch.checking import faults
from mbongi.energy.rules.dispatch.explaining import Reason, reasons
from mbongi.energy.rules.dispatch.formulation import formulate
from mbongi.energy.rules.dispatch.plan import Plan, bill
from mbongi.energy.rules.dispatch.problem import Load, Mining, Problem, Reserve, Solar
from tests.energy.independent import optimum
from tests.energy.problems import battery, day, feed, genset, problems, series, tank


def solved(problem, **more):
    return optimise(problem, Highs(), **{"gap": 0.0, **more})


@pytest.mark.parametrize(("seed", "away", "step_kw"), [(1, (4, 5, 6), 50.0), (2, (0, 1), 0.0)])
def test_the_optimum_is_that_of_an_independent_formulation(seed, away, step_kw):
    problem = day(10, seed=seed, away=away, step_kw=step_kw)

    found = solved(problem)

    assert found.status == "optimal"
    assert found.relaxed == ()
    assert bill(problem, found.plan).net == pytest.approx(optimum(problem), rel=1e-6)


def test_mining_runs_while_it_earns_more_than_energy_costs():
    # 100 kW of load and up to 300 kW of mining at 60 per kWh; energy at 50, 70, 59.9 and 60.1 per kWh.
    grid = dataclasses.replace(feed(4), price_per_kwh=np.array([50.0, 70.0, 59.9, 60.1]))
    mining = Mining("mining", 0, 300, 100, series(4, 60))
    problem = Problem(step_h=1.0, steps=4, feeds=(grid,), mining=(mining,), loads=(Load("load", series(4, 100)),))

    found = solved(problem)

    assert found.plan.mining["mining"].tolist() == [300, 0, 300, 0]
    # 100 kWh at each price, and 300 kWh at 50 and 59.9; 600 kWh mined at 60.
    assert bill(problem, found.plan).net == pytest.approx(24_000 + 15_000 + 17_970 - 36_000)
    assert found.prices.tolist() == pytest.approx([50.0, 70.0, 59.9, 60.1])
    assert reasons(problem, found.plan, found.prices, 0) == [Reason("mining_pays", "mining")]
    assert reasons(problem, found.plan, found.prices, 1) == [Reason("mining_too_dear", "mining")]


def test_machines_are_not_switched_for_less_than_that_costs():
    # An hour at 65 instead of 50 loses 100 x 5 against sleeping; twice 100 kW switched cost 100 x 2 x 3 = 600.
    grid = dataclasses.replace(feed(3), price_per_kwh=np.array([50.0, 65.0, 50.0]))
    for price, expected in ((3.0, [100, 100, 100]), (2.0, [100, 0, 100])):
        mining = Mining("mining", 0, 100, 100, series(3, 60), price)
        problem = Problem(step_h=1.0, steps=3, feeds=(grid,), mining=(mining,))
        found = solved(problem)
        assert found.plan.mining["mining"].tolist() == expected
        assert bill(problem, found.plan).running == pytest.approx(0 if price == 3.0 else 400)


def test_a_battery_moves_energy_from_cheap_to_dear_hours_and_pays_its_losses():
    # 90 % each way: one kWh out takes 1/0.81 kWh in. At 40 and 100 per kWh that is 49.4 for what would cost 100.
    grid = dataclasses.replace(feed(2), price_per_kwh=np.array([40.0, 100.0]))
    store = battery(level_kwh=0, charge_efficiency=0.9, discharge_efficiency=0.9, wear_per_kwh=1.0)
    problem = Problem(step_h=1.0, steps=2, feeds=(grid,), batteries=(store,), loads=(Load("load", series(2, 200)),))

    plan = solved(problem).plan

    # 100 kW of charging store 90 kWh, which give 81 kWh.
    assert plan.charge["battery"].tolist() == pytest.approx([100, 0])
    assert plan.level["battery"].tolist() == pytest.approx([90, 0])
    assert plan.discharge["battery"].tolist() == pytest.approx([0, 81])
    assert bill(problem, plan).net == pytest.approx(300 * 40 + 119 * 100 + 81 * 1)


def test_the_outage_reserve_is_held_in_the_measure_of_its_probability():
    grid = dataclasses.replace(feed(3), price_per_kwh=np.array([100.0, 100.0, 100.0]))
    # 60 kW for an hour: all of it at 5 % and above, half at 2.5 %.
    reserve = Reserve(60, 1.0, np.array([0.025, 0.10, 0.0]), full_p=0.05)
    problem = Problem(
        step_h=1.0, steps=3, feeds=(grid,), batteries=(battery(level_kwh=100),), loads=(Load("load", series(3, 200)),),
        reserve=reserve,
    )  # fmt: skip

    found = solved(problem)

    assert found.plan.level["battery"].tolist() == pytest.approx([60, 60, 0])
    assert Reason("reserve", "") in reasons(problem, found.plan, found.prices, 1)


def test_without_a_feed_gensets_carry_the_loads_within_their_minimum_and_mining_rests():
    # Half an hour away in steps of a quarter: 200 kW of load. A genset gives 150 kW at least and runs an hour at least.
    grid = dataclasses.replace(feed(6, price=50), limit_kw=np.array([1000.0, 0, 0, 1000, 1000, 1000]))
    problem = Problem(
        step_h=0.25,
        steps=6,
        feeds=(grid,),
        tanks=(tank(),),
        gensets=(genset(min_up_steps=4, start_cost=1000.0),),
        mining=(Mining("mining", 0, 500, 100, series(6, 60)),),
        loads=(Load("load", series(6, 200)),),
    )

    found = solved(problem)
    plan = found.plan

    assert plan.on["genset"].sum() == 4
    assert plan.on["genset"][1:3].all()
    assert plan.genset["genset"][1:3].tolist() == pytest.approx([200, 200])
    # Where the feed is back the engine idles at its minimum, as a kWh of fuel costs more than one of the grid.
    assert plan.genset["genset"][plan.on["genset"] & (grid.limit_kw > 0)].tolist() == pytest.approx([150, 150])
    assert plan.mining["mining"].tolist() == [500, 0, 0, 500, 500, 500]
    # By hand: 200 kW is 38 + 75 x 31/125 = 56.6 l/h, 150 kW 44.2 l/h; 0.5 h at each.
    assert bill(problem, plan).fuel_l == pytest.approx(0.5 * 56.6 + 0.5 * 44.2)
    assert Reason("feed_away", "grid") in reasons(problem, plan, found.prices, 1)


def test_loads_are_shed_in_their_order_only():
    # 350 kW of feed for 100 kW that must be, 200 kW of jobs and 150 kW of nodes, and mining.
    problem = Problem(
        step_h=1.0,
        steps=1,
        feeds=(feed(1, limit=220),),
        mining=(Mining("mining", 0, 100, 50, series(1, 60)),),
        loads=(
            Load("must", series(1, 100)),
            Load("nodes", series(1, 150), 2, 900.0),
            Load("jobs", series(1, 200), 1, 300.0),
        ),
    )

    plan = solved(problem).plan

    assert plan.mining["mining"].tolist() == [0]
    assert plan.shed["jobs"].tolist() == pytest.approx([200])
    assert plan.shed["nodes"].tolist() == pytest.approx([30])
    assert faults(problem, plan) == []


def test_a_load_is_not_shed_in_part_to_save_a_step_of_mining():
    # 110 kW for 100 kW of jobs and mining that cannot run with less than 50 kW: shedding 40 kW of jobs at 61 would
    # let mining earn 50 x 60 - 40 x 61 = 560 more, against the order.
    mining = Mining("mining", 0, 50, 50, series(1, 60))
    jobs = Load("jobs", series(1, 100), 1, 61.0)
    problem = Problem(step_h=1.0, steps=1, feeds=(feed(1, limit=110, price=1),), mining=(mining,), loads=(jobs,))

    found = solved(problem)

    assert found.plan.mining["mining"].tolist() == [0]
    assert found.plan.shed["jobs"].tolist() == [0]
    assert found.rounds == 2, "the rule is written out once a plan breaks it"


def test_a_contract_is_overrun_only_where_that_pays():
    # 100 kW above the contract for one hour earn 100 x (60 - 50) = 1000 with mining.
    for price, expected in ((9.0, 200), (11.0, 100)):
        mining = Mining("mining", 0, 200, 100, series(1, 60))
        problem = Problem(
            step_h=1.0, steps=1, feeds=(feed(1, contract_kw=100.0, overrun_per_kw=price),), mining=(mining,)
        )
        found = solved(problem)
        assert found.plan.mining["mining"].tolist() == [expected]
        assert bill(problem, found.plan).overrun == pytest.approx(price * (expected - 100))


def test_a_surplus_is_not_burnt_by_charging_and_discharging_at_once():
    # The genset must give 150 kW for a load of 100 kW; the battery of 50 % each way could swallow 50 kW that way.
    lossy = battery(max_kwh=400, level_kwh=400, charge_efficiency=0.5, discharge_efficiency=0.5)
    problem = Problem(
        step_h=1.0,
        steps=1,
        batteries=(lossy,),
        tanks=(tank(),),
        gensets=(genset(is_on=True, since_steps=0, min_up_steps=3),),
        loads=(Load("load", series(1, 100)),),
    )

    found = solved(problem)

    assert min(found.plan.charge["battery"][0], found.plan.discharge["battery"][0]) == 0
    # So the engine's minimum time is what has to give way: it is stopped.
    assert [one.kind for one in found.relaxed] == ["up_down"]
    assert not found.plan.on["genset"][0]


@pytest.mark.parametrize(
    ("problem", "kind", "amount"),
    [
        # 200 kW that must be, 150 kW of feed: 50 kWh a step are not supplied.
        (
            Problem(step_h=1.0, steps=2, feeds=(feed(2, limit=150),), loads=(Load("load", series(2, 200)),)),
            "load", 100.0,
        ),
        # The reserve is 80 kWh and the battery holds 60 with no power to charge it.
        (
            Problem(
                step_h=1.0, steps=1, feeds=(feed(1, limit=100),), batteries=(battery(level_kwh=60),),
                loads=(Load("load", series(1, 100)),), reserve=Reserve(80, 1.0, series(1, 1.0)),
            ),
            "reserve", 20.0,
        ),
        # The battery shall end full and cannot be charged.
        (
            Problem(
                step_h=1.0, steps=1, feeds=(feed(1, limit=100),), batteries=(battery(level_kwh=60, end_kwh=90),),
                loads=(Load("load", series(1, 100)),),
            ),
            "end", 30.0,
        ),
        # An hour at 250 kW takes 69 l; above the reserve of 50 l there are 50 l.
        (
            Problem(
                step_h=1.0, steps=1, tanks=(tank(level_l=100, reserve_l=50),), gensets=(genset(),),
                loads=(Load("load", series(1, 250)),),
            ),
            "fuel", 19.0,
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_relaxed_by_class_and_told(problem, kind, amount):
    found = solved(problem)

    assert [(one.kind, one.penalty > 0) for one in found.relaxed] == [(kind, True)]
    assert found.relaxed[0].amount == pytest.approx(amount)


class Told:
    """A solver that says what it is told to, with the same value in all columns or with none."""

    def __init__(self, status, value=None):
        self.status, self.value = status, value

    def solve(self, matrix, *, limit_s, gap):
        values = None if self.value is None else np.full(matrix.columns_count, self.value)
        return Found(self.status, values, 0.0, 0.0, 0.0, np.empty(0))


@pytest.mark.parametrize("status", ["infeasible", "time limit", "unbounded", "unknown"])
def test_without_values_there_is_no_plan_whatever_the_status(status):
    with pytest.raises(NoPlanError, match=status):
        optimise(day(4, away=()), Told(status))


def test_nonsense_with_a_good_status_is_not_used():
    with pytest.raises(NoPlanError, match="not used"):
        optimise(day(4, away=()), Told("optimal", 1e6))


def test_a_plan_that_the_time_limit_cut_short_says_its_gap():
    problem = day(48, away=tuple(range(16, 40)))
    matrix, _layout = formulate(problem)

    found = Highs().solve(matrix, limit_s=0.0, gap=0.0)

    assert found.values is None or found.gap > 0
    assert not found.is_optimal


@given(problems())
@hypothesis_settings(max_examples=40)
def test_whatever_the_plant_every_plan_keeps_its_limits_and_its_balance(problem):
    found = optimise(problem, Highs(), limit_s=20.0)
    kinds = {one.kind for one in found.relaxed}
    plan = found.plan

    assert faults(problem, plan, min_times="up_down" not in kinds, reserve=not kinds & {"reserve", "fuel"}) == []
    # Written out once more, so that the check is not its own witness.
    supplied = sum(plan.feed.values()) + sum(plan.solar.values()) + sum(plan.genset.values(), np.zeros(problem.steps))
    stored = plan.charge["b"] - plan.discharge["b"]
    taken = sum(load.kw - plan.shed.get(load.tag, 0.0) for load in problem.loads) + plan.mining["mining"]
    np.testing.assert_allclose(supplied, taken + stored - plan.unserved, atol=1e-3)
    assert (plan.level["b"] >= 20 - 1e-3).all()
    assert (plan.level["b"] <= 200 + 1e-3).all()
    assert (sum(plan.feed.values()) <= problem.import_kw + 1e-3).all()


@given(problems())
@hypothesis_settings(max_examples=40)
def test_doing_nothing_keeps_the_limits_too_and_is_not_cheaper(problem):
    nothing = do_nothing(problem)
    assert faults(problem, nothing, min_times=False, reserve=False) == []


def test_the_saving_against_doing_nothing_is_told_in_money_energy_and_carbon():
    # Energy at 50 and 70, mining at 60: who does nothing mines in the dear hour too.
    grid = dataclasses.replace(feed(2, carbon=0.5), price_per_kwh=np.array([50.0, 70.0]))
    mining = Mining("mining", 0, 100, 100, series(2, 60))
    problem = Problem(step_h=1.0, steps=2, feeds=(grid,), mining=(mining,))

    planned, nothing = bill(problem, solved(problem).plan), bill(problem, do_nothing(problem))

    assert nothing.net - planned.net == pytest.approx(100 * 10)
    assert nothing.imported_kwh - planned.imported_kwh == pytest.approx(100)
    assert nothing.carbon_kg - planned.carbon_kg == pytest.approx(50)


def test_curtailed_sun_is_said():
    problem = Problem(step_h=1.0, steps=1, solar=(Solar("pv", series(1, 300)),), loads=(Load("load", series(1, 100)),))
    found = solved(problem)
    assert Reason("solar_spilt", "pv") in reasons(problem, found.plan, found.prices, 0)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"feeds": (feed(3),)}, "expected 2 finite numbers"),
        ({"feeds": (feed(2), feed(2))}, "more than once"),
        ({"feeds": (feed(2, price=-1),)}, "no negative"),
        ({"gensets": (genset(),)}, "tank is not there"),
        ({"tanks": (tank(),), "gensets": (genset(curve=((1, 1),)),)}, "two or more"),
        ({"batteries": (battery(level_kwh=101),)}, "level 101"),
        ({"loads": (Load("jobs", series(2, 10), 1, 59.0),)}, "more than 60"),
        ({"mining": (Mining("mining", 10, 5, 1, series(2, 60)),)}, "min_kw <= max_kw"),
    ],
)
def test_what_contradicts_itself_is_refused(change, match):
    good = {"feeds": (feed(2),), "mining": (Mining("mining", 0, 10, 1, series(2, 60)),)}
    Problem(step_h=1.0, steps=2, **good)
    with pytest.raises(ProblemError, match=match):
        Problem(step_h=1.0, steps=2, **{**good, **change})


def test_a_plan_that_has_become_wrong_is_found():
    problem = day(12, away=(4, 5))
    plan = optimise(problem, Highs()).plan
    assert faults(problem, plan) == []
    for name, tag, change, match in (
        ("feed", "grid", 4000.0, "feed grid"),
        ("level", "b1", 5.0, "level"),
        ("genset", "g1", 600.0, "genset g1"),
        ("mining", "mining", 1.0, "steps"),
        ("shed", "nodes", 1.0, "before what comes first"),
        ("discharge", "b1", np.nan, "finite"),
    ):
        series_of = dict(getattr(plan, name))
        series_of[tag] = np.full(12, change)
        wrong: Plan = dataclasses.replace(plan, **{name: series_of})
        assert match in " ".join(faults(problem, wrong))
