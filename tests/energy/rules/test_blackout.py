"""The black-out sequence: scenarios with times worked out by hand, and what holds whatever the plant says."""

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mbongi.energy.rules.blackout import INF, Block, Phase, Plant, Seen, Source, Times, advance, begin

CONTROL = Block("control", 20, 4, on_ups=True)
CORE = Block("core", 80, 3, on_ups=True)
COOLING = Block("cooling", 100, 2)
JOBS = Block("jobs", 250, 1)
PLANT = Plant((CONTROL, CORE, COOLING, JOBS), (("g1", 400.0), ("g2", 400.0)), mining_kw=1000.0)
TIMES = Times()
NONE: dict[str, bool | None] = {"g1": False, "g2": False}


class Site:
    """Looks once a second and keeps what happened, with its second."""

    def __init__(self, plant=PLANT, times=TIMES):
        self.plant, self.times, self.now_s = plant, times, 0
        self.state = begin(plant, 0.0)
        self.log: list[tuple[int, str]] = []
        self.orders = None

    def run(self, seconds, *, grid=True, ready=None, ups_s=1800.0):
        for _second in range(seconds):
            seen = Seen(grid, {**NONE, **(ready or {})}, ups_s)
            self.state, self.orders = advance(self.plant, self.times, self.state, seen, float(self.now_s))
            self.log += [(self.now_s, event) for event in self.orders.events]
            self.now_s += 1
        return self

    def at(self, event):
        return [second for second, told in self.log if told == event]


def test_with_the_grid_there_nothing_is_ordered():
    site = Site().run(60)
    assert site.log == []
    assert site.orders.mining_kw == INF
    assert site.orders.carried == {"control", "core", "cooling", "jobs"}
    assert site.orders.source is Source.GRID


def test_a_dip_shorter_than_the_confirmation_changes_nothing():
    site = Site().run(10).run(1, grid=False).run(10)
    assert site.log == []


def test_from_the_cut_to_all_loads_on_one_genset_and_back():
    site = Site().run(10)
    site.run(9, grid=False)
    # Lost in second 10, confirmed a second later: the UPS holds, the rest is off, mining stops, g1 is started.
    assert site.at("phase:hold") == site.at("start:g1") == site.at("shed:jobs") == site.at("shed:cooling") == [11]
    assert site.orders.carried == {"control", "core"}
    assert (site.orders.mining_kw, site.orders.source) == (0.0, Source.UPS)
    # Ready in second 19. 100 kW are carried; 80 % of 400 kW are 320, so cooling comes back, jobs (450 in all) do not,
    # and g2 is started for them.
    site.run(21, grid=False, ready={"g1": True})
    assert site.at("phase:island") == [19]
    assert site.at("restored:cooling") == [29]
    assert site.at("start:g2") == [30]
    site.run(20, grid=False, ready={"g1": True, "g2": True})
    # 80 % of 800 kW are 640. A dead time of 10 s after cooling is over by then.
    assert site.at("restored:jobs") == [41]
    assert site.orders.mining_kw == 0.0, "mining rests on gensets"
    back_s = site.now_s
    site.run(1000, ready={"g1": True, "g2": True})
    assert site.at("phase:back") == [back_s]
    assert site.at("phase:return") == [back_s + 300]
    # No load is dark; after a dead time mining comes back at 50 kW/s, 1000 kW in 20 s.
    assert site.at("phase:grid") == [back_s + 300 + 10 + 19]
    assert site.at("stop:g1") == site.at("stop:g2") == [back_s + 300 + 180]
    assert site.orders.mining_kw == INF


def test_a_genset_that_does_not_start_is_tried_again_then_the_second_one():
    site = Site().run(1).run(70, grid=False)
    # 15 s to start, 5 s of rest, three times; then g2.
    assert site.at("start:g1") == [2, 22, 42]
    assert site.at("stop:g1") == [17, 37, 57]
    assert site.at("start:g2") == [62]
    site.run(5, grid=False, ready={"g2": True})
    assert site.state.phase is Phase.ISLAND
    assert site.orders.runs == {"g2"}


def test_with_no_genset_it_is_dark_and_all_are_tried_again():
    site = Site().run(1).run(400, grid=False)
    # Six starts of 20 s each, the last without its rest: 2 + 5 x 20 + 15.
    assert site.at("phase:dark")[0] == 117
    assert site.orders.carried == {"control", "core"}
    assert site.at("phase:hold") == [2, 237]
    assert site.at("start:g1")[:4] == [2, 22, 42, 238]


def test_a_ups_that_runs_low_sheds_in_order_and_keeps_the_last():
    site = Site().run(1).run(5, grid=False).run(60, grid=False, ups_s=200.0)
    assert len(site.at("shed:core")) == 1
    assert site.at("shed:control") == []
    assert site.orders.carried == {"control"}


def test_a_genset_that_fails_under_load_sheds_what_the_rest_cannot_carry():
    site = Site().run(1).run(3, grid=False)
    site.run(60, grid=False, ready={"g1": True, "g2": True})
    assert site.orders.carried == {"control", "core", "cooling", "jobs"}
    site.run(1, grid=False, ready={"g1": False, "g2": True})
    # 450 kW were carried and 400 kW are there: jobs go, and come back once g1 runs again.
    assert site.orders.carried == {"control", "core", "cooling"}
    site.run(1, grid=False, ready={"g1": False, "g2": False})
    assert site.state.phase is Phase.HOLD
    assert site.orders.carried == {"control", "core"}


def test_a_grid_that_flickers_starts_its_stability_time_anew():
    site = Site().run(1).run(3, grid=False).run(30, grid=False, ready={"g1": True})
    site.run(200, ready={"g1": True}).run(1, grid=False, ready={"g1": True}).run(299, ready={"g1": True})
    assert site.at("phase:return") == []
    site.run(2, ready={"g1": True})
    assert len(site.at("phase:return")) == 1


def test_a_short_cut_goes_back_to_the_grid_before_a_genset_is_ready():
    site = Site().run(1).run(5, grid=False).run(100)
    # Ten seconds of grid are enough where no genset carries.
    assert site.at("phase:return") == [16]
    assert site.at("phase:island") == []
    # One block after the other, ten seconds apart: cooling before jobs.
    assert (site.at("restored:cooling"), site.at("restored:jobs")) == ([26], [36])


def test_a_grid_lost_again_while_loads_come_back_begins_anew():
    site = Site().run(1).run(5, grid=False).run(25)
    assert site.state.phase is Phase.RETURN
    site.run(3, grid=False)
    assert site.state.phase is Phase.HOLD
    assert site.orders.carried == {"control", "core"}
    assert site.orders.mining_kw == 0


def test_a_grid_that_nobody_knows_of_adds_nothing_then_counts_as_lost():
    site = Site().run(1).run(4, grid=None)
    assert site.state.phase is Phase.GRID
    site.run(2, grid=None)
    assert site.state.phase is Phase.HOLD
    back = Site().run(1).run(5, grid=False).run(12)
    assert back.state.phase is Phase.RETURN
    back.run(4, grid=None)
    assert back.at("restored:cooling") == []


def test_a_genset_that_falls_silent_under_load_counts_for_a_while():
    site = Site().run(1).run(3, grid=False).run(20, grid=False, ready={"g1": True})
    assert site.state.phase is Phase.ISLAND
    site.run(4, grid=False, ready={"g1": None})
    assert site.state.phase is Phase.ISLAND
    site.run(2, grid=False, ready={"g1": None})
    assert site.state.phase is Phase.HOLD


def test_a_grid_lost_while_a_genset_cools_starts_no_second_one():
    site = Site().run(1).run(3, grid=False).run(10, grid=False, ready={"g1": True}).run(310, ready={"g1": True})
    assert site.state.phase is Phase.RETURN
    site.run(15, grid=False, ready={"g1": True})
    assert site.state.phase is Phase.ISLAND
    # g1 takes over at once; g2 is started only once jobs, 450 kW in all, wait for it: after cooling's dead time.
    assert [second for second in site.at("start:g2") if second > 320] == [336]


def test_a_genset_that_never_was_ready_and_says_nothing_does_not_carry():
    site = Site().run(1).run(5, grid=False, ready={"g1": None}).run(15, ready={"g1": None})
    assert site.state.phase is Phase.RETURN
    site.run(4, grid=False, ready={"g1": None})
    assert site.at("phase:island") == []
    assert site.orders.source is Source.UPS


def test_a_genset_that_fails_under_load_time_and_again_makes_way_for_the_next():
    site = Site().run(1)
    for _turn in range(4):
        site.run(5, grid=False).run(5, grid=False, ready={"g1": True})
    assert len(site.at("start:g1")) == 3
    assert len(site.at("start:g2")) == 1


def test_a_silent_genset_does_not_keep_the_others_from_being_tried_anew():
    site = Site().run(1).run(3, grid=False).run(5, grid=False, ready={"g1": True})
    site.run(400, grid=False, ready={"g1": None})
    assert site.at("phase:dark") != []
    assert len(site.at("start:g2")) > 3


def test_a_sequence_that_begins_on_gensets_neither_stops_them_nor_goes_to_a_grid_that_is_away():
    seen = Seen(grid=False, ready={"g1": True, "g2": False})
    state, orders = advance(PLANT, TIMES, begin(PLANT, 0.0, seen), seen, 0.0)
    assert (state.phase, orders.source, orders.runs) == (Phase.ISLAND, Source.GENSETS, {"g1"})
    assert (orders.carried, orders.mining_kw) == ({"control", "core"}, 0)
    for other in (
        Seen(grid=True, ready={"g1": True}),
        Seen(grid=None, ready={"g1": True}),
        Seen(grid=False, ready=NONE),
    ):
        assert begin(PLANT, 0.0, other).phase is Phase.GRID


WORDS = st.sampled_from([True, True, False, None])


@given(st.lists(st.tuples(WORDS, WORDS, WORDS, st.sampled_from([60.0, 900.0, None]), st.integers(1, 200)), max_size=25))
@hypothesis_settings(max_examples=60)
def test_whatever_the_plant_says_no_limit_is_broken(words):
    site = Site()
    for grid, one, two, ups_s, seconds in words:
        for _second in range(seconds):
            before = site.orders
            site.run(1, grid=grid, ready={"g1": one, "g2": two}, ups_s=ups_s)
            orders = site.orders
            load_kw = sum(block.kw for block in PLANT.blocks if block.tag in orders.carried)
            assert "control" in orders.carried
            assert orders.mining_kw >= 0
            if orders.source is Source.GENSETS:
                rating = sum(400.0 for tag in orders.runs)
                assert load_kw <= rating
                assert orders.mining_kw == 0
            if orders.source is Source.UPS:
                assert orders.carried <= {"control", "core"}
            restored = orders.carried - (before.carried if before else orders.carried)
            assert len(restored) <= 1, "one block at a time"
            dark = [block for block in PLANT.blocks if block.tag not in orders.carried]
            carried = [block for block in PLANT.blocks if block.tag in orders.carried]
            assert not dark or min(one.order for one in carried) > max(one.order for one in dark), "in order"
