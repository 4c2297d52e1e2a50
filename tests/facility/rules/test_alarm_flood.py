"""Roots and consequences, on small plants whose outcome is plain to see."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mbongi.facility.rules.alarm_flood import Evidence, Plant, Sense, Standing, losses, reached, roots, silent_roots
from mbongi.facility.rules.alarm_limits import Follows, Supply

P, COOL = Supply.POWER, Supply.COOLING
T0 = datetime(2026, 3, 1, tzinfo=UTC)
# One transformer, two PDUs, three racks each; a fan wall on the second PDU cools the racks of the first.
TREE = Plant(
    edges=[
        ("tr-1", "pdu-1", P),
        ("tr-1", "pdu-2", P),
        *((f"pdu-{pdu}", f"rack-{pdu}{rack}", P) for pdu in (1, 2) for rack in (1, 2, 3)),
        ("pdu-2", "fan-1", P),
        *(("fan-1", f"rack-1{rack}", COOL) for rack in (1, 2, 3)),
    ]
)
DARK, WARM = (Follows.POWER,), (Follows.COOLING,)


def up(number, tag, seconds=0, stops=None, follows=()):
    return Standing(number, tag, T0 + timedelta(seconds=seconds), stops, follows)


def test_a_tripped_transformer_is_the_one_root_of_all_that_it_feeds():
    standing = [up(1, "tr-1", 0, P), *(up(10 + n, f"rack-1{n}", 2, None, DARK) for n in (1, 2, 3))]
    assert roots(TREE, standing) == {11: 1, 12: 1, 13: 1}


def test_a_root_that_is_heard_after_its_consequences_is_their_root_all_the_same():
    standing = [up(1, "tr-1", 30, P), up(2, "rack-11", 0, None, DARK), up(3, "rack-21", 5, None, DARK)]
    assert roots(TREE, standing) == {2: 1, 3: 1}


def test_an_alarm_from_long_before_the_loss_is_no_consequence_of_it():
    assert roots(TREE, [up(1, "tr-1", 120, P), up(2, "rack-11", 0, None, DARK)]) == {}


def test_an_alarm_that_follows_nothing_stands_for_itself():
    assert roots(TREE, [up(1, "tr-1", 0, P), up(2, "rack-11", 1)]) == {}


def test_consequences_of_consequences_have_the_uppermost_root():
    standing = [up(1, "tr-1", 0, P), up(2, "pdu-1", 1, P, DARK), up(3, "rack-11", 2, None, DARK)]
    assert roots(TREE, standing) == {2: 1, 3: 1}


def test_cooling_is_lost_through_the_power_of_what_cools():
    standing = [up(1, "tr-1", 0, P), up(2, "rack-11", 40, None, WARM)]
    assert roots(TREE, standing) == {2: 1}
    fan = [up(1, "fan-1", 0, COOL), up(2, "rack-11", 40, None, WARM), up(3, "rack-12", 1, None, DARK)]
    assert roots(TREE, fan) == {2: 1}


def test_two_alarms_of_one_element_are_one_root():
    standing = [up(1, "tr-1", 0, P), up(2, "tr-1", 1, None, DARK)]
    assert roots(TREE, standing) == {2: 1}


TWO_FEEDS = Plant([("a", "rack", P), ("b", "rack", P)])


def test_one_of_two_feeds_explains_a_lost_feed_and_not_a_dark_rack():
    both = [up(1, "a", 0, P), up(2, "rack", 1, None, DARK), up(3, "rack", 1, None, (Follows.POWER_PART,))]
    assert roots(TWO_FEEDS, both) == {3: 1}


def test_both_feeds_lost_explain_a_dark_rack_by_the_earlier_one():
    standing = [up(1, "b", 3, P), up(2, "a", 0, P), up(3, "rack", 4, None, DARK)]
    assert roots(TWO_FEEDS, standing) == {3: 2}


def test_a_source_at_rest_counts_as_lost_and_is_no_root():
    plant = Plant(TWO_FEEDS.edges, idle={"b"})
    assert roots(plant, [up(1, "a", 0, P), up(2, "rack", 1, None, DARK)]) == {2: 1}
    assert roots(plant, [up(2, "rack", 1, None, DARK)]) == {}


def test_behind_a_ups_nothing_is_lost_until_the_ups_itself_says_so():
    plant = Plant([("tr", "ups", P), ("ups", "rack", P)], holds={"ups"})
    before = [up(1, "tr", 0, P), up(2, "ups", 1, None, DARK), up(3, "rack", 2, None, DARK)]
    assert roots(plant, before) == {2: 1}
    drained = [up(1, "tr", 0, P), up(4, "ups", 900, P, DARK), up(3, "rack", 901, None, DARK)]
    assert roots(plant, drained) == {4: 1, 3: 1}


def test_elements_in_a_ring_do_not_blame_one_another_away():
    ring = Plant([("a", "b", P), ("b", "a", P)])
    found = roots(ring, [up(1, "a", 0, P, DARK), up(2, "b", 0, P, DARK)])
    assert len(found) < 2


@given(st.sets(st.sampled_from([*(f"rack-{p}{r}" for p in (1, 2) for r in (1, 2, 3)), "pdu-1", "pdu-2", "tr-1"])))
def test_of_any_alarms_none_is_under_one_that_is_itself_a_consequence(tags):
    standing = [
        up(number, tag, number, None if tag.startswith("rack") else P, DARK) for number, tag in enumerate(sorted(tags))
    ]
    found = roots(TREE, standing)
    assert set(found.values()).isdisjoint(found)


def ask(known):
    return lambda tag, _supply: known.get(tag, Sense.UNKNOWN)


def silent(dark, known=None, stopped=None, plant=TREE):
    asked = ask(known or {})
    return silent_roots(plant, Evidence(P, dark, stopped or {}, asked, asked))


def test_a_silent_element_all_of_whose_dependants_are_dark_is_a_root():
    assert silent({"rack-11", "rack-12", "rack-13"}, {"rack-21": Sense.GOOD}) == {
        "pdu-1": frozenset({"rack-11", "rack-12", "rack-13"})
    }


def test_of_silent_elements_above_one_another_the_uppermost_is_the_root():
    dark = {f"rack-{pdu}{rack}" for pdu in (1, 2) for rack in (1, 2, 3)}
    assert set(silent(dark)) == {"tr-1"}


def test_a_bright_dependant_speaks_for_its_source():
    assert silent({"rack-11", "rack-12"}, {"rack-13": Sense.GOOD}) == {}


def test_an_element_that_says_that_it_gives_is_no_silent_root():
    assert silent({"rack-11", "rack-12", "rack-13"}, {"pdu-1": Sense.GOOD}) == {}


def test_one_dark_element_alone_concludes_nothing():
    assert silent({"rack-11"}) == {}


def test_what_has_another_feed_that_gives_is_not_dark_through_a_silent_one():
    plant = Plant([("a", "r1", P), ("a", "r2", P), ("b", "r1", P), ("b", "r2", P)])
    assert silent({"r1", "r2"}, {"b": Sense.GOOD}, plant=plant) == {}
    assert set(silent({"r1", "r2"}, plant=Plant(plant.edges, idle={"b"}))) == {"a"}
    assert set(silent({"r1", "r2"}, stopped={"b": P}, plant=plant)) == {"a"}


def test_what_an_element_reaches_is_all_that_loses_a_feed():
    assert reached(TREE, "pdu-2", P) == {"rack-21", "rack-22", "rack-23", "fan-1"}
    assert losses(TREE, {"pdu-2": P}).whole["rack-11", COOL] == "pdu-2"
