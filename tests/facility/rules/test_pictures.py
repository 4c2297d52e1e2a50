"""The levels of the pictures: what they draw, that nothing overlaps, and that they stay small with a large plant."""

from itertools import combinations

import pytest

from bench import facility_trace
from mbongi.facility.rules.floor_plan import BOXES_MAX, floor_plan
from mbongi.facility.rules.network import Network, network
from mbongi.facility.rules.one_line import BOX_W, BRANCHES_MAX, LEVEL_MAX, Drawing, draw
from mbongi.facility.values import ElementKind, Place, PlaceKind
from tests.facility.plants import element, link, two_sided

K = ElementKind


def names(net: Network, drawing: Drawing) -> list[list[str]]:
    return [[net.tags[member] for member in box.members] for box in drawing.boxes]


def apart(drawing: Drawing) -> bool:
    pairs = combinations(drawing.boxes, 2)
    return all(one.y != other.y or abs(one.x - other.x) >= BOX_W for one, other in pairs)


def test_each_element_stands_below_what_feeds_it() -> None:
    net = network(*two_sided())
    drawing = draw(net)
    boxes = {net.tags[box.members[0]]: box for box in drawing.boxes}
    assert sorted(boxes) == sorted(net.tags)
    for edge in range(net.graph.edges):
        begin, end = (net.tags[int(side[edge])] for side in (net.graph.source, net.graph.target))
        assert boxes[begin].y < boxes[end].y, (begin, end)
    assert boxes["G-1"].y == boxes["TR-B"].y  # a genset stands right above the board that it feeds
    assert apart(drawing)
    assert len(drawing.wires) == net.graph.edges


def test_many_branches_and_all_consumers_of_one_element_are_one_box() -> None:
    elements = [element("F", K.UTILITY_FEED), element("LV", K.LV_SWITCHBOARD)]
    elements += [element(f"PDU-{at}", K.PDU) for at in range(BRANCHES_MAX + 1)]
    elements += [element(f"M-{at}", K.MACHINE) for at in range(3)]
    links = [link("F>LV"), *(link(f"LV>PDU-{at}") for at in range(BRANCHES_MAX + 1))]
    links += [link(f"LV>M-{at}") for at in range(3)]
    net = network(elements, links)
    assert sorted(map(len, names(net, draw(net)))) == [1, 1, 3, BRANCHES_MAX + 1]
    below = names(net, draw(net, net.number["PDU-0"]))
    assert below == [["LV"], ["PDU-0"]]


def test_a_level_stays_small_at_five_thousand_racks_and_every_pdu_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facility_trace, "PER_RACK", 1)
    net = network(*facility_trace.plant(15_500))
    assert len(net.of_kind(K.PDU)) >= 10_000
    for root in (None, net.number["MV-A"], net.number["LV-1A"], net.number["PDU-1-7A"]):
        drawing = draw(net, root)
        assert len(drawing.boxes) <= LEVEL_MAX + BRANCHES_MAX
        assert drawing.left_out == 0
        assert apart(drawing)
    assert names(net, draw(net, net.number["PDU-1-7A"]))[:2] == [["LV-1A"], ["PDU-1-7A"]]


def test_an_empty_plant_is_an_empty_sheet() -> None:
    drawing = draw(network([], []))
    assert (drawing.boxes, drawing.width, drawing.height) == ([], 0, 0)


SITE = Place(code="S", kind=PlaceKind.SITE)
HALL = Place(code="H", kind=PlaceKind.HALL, parent="S", x_m=2, y_m=3, width_m=20, depth_m=10)


def racks(count: int) -> list[Place]:
    rows = [Place(code=f"R{at}", kind=PlaceKind.ROW, parent="H") for at in range(1 + count // 20)]
    return [*rows, *(Place(code=f"K{at}", kind=PlaceKind.RACK, parent=f"R{at // 20}") for at in range(count))]


def test_places_stand_where_they_are_stated_to_and_the_others_in_a_grid() -> None:
    other = Place(code="H2", kind=PlaceKind.HALL, parent="S")
    drawn = floor_plan([SITE, HALL, other], "S")
    spots = {spot.place.code: spot for spot in drawn.spots}
    assert (spots["H"].width_m, spots["H"].is_laid) == (20, False)
    assert (spots["H"].x_m - spots["H2"].x_m, spots["H"].y_m - spots["H2"].y_m) == (2, 3)
    assert spots["H2"].is_laid
    assert (drawn.width_m, drawn.depth_m) == (24, 16)


@pytest.mark.parametrize(("count", "drawn"), [(60, PlaceKind.RACK), (5_000, PlaceKind.ROW)])
def test_a_hall_shows_its_racks_while_they_are_few_and_its_rows_else(count: int, drawn: PlaceKind) -> None:
    places = [SITE, HALL, *racks(count)]
    level = floor_plan(places, "H")
    kinds = {spot.place.kind for spot in level.spots if spot.place.code != f"R{count // 20}"}
    assert kinds == {drawn}
    assert len(level.spots) <= BOXES_MAX
    assert len(floor_plan(places, "R0").spots) == 20
    for one, two in combinations(level.spots[:40], 2):
        overlaps = one.x_m < two.x_m + two.width_m and two.x_m < one.x_m + one.width_m
        assert not (overlaps and one.y_m < two.y_m + two.depth_m and two.y_m < one.y_m + one.depth_m)
