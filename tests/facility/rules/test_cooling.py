"""Heat worked by hand."""

import numpy as np
import pytest

from mbongi.facility.rules.cooling import cooling
from mbongi.facility.rules.network import network
from mbongi.facility.values import ElementKind, LinkKind
from tests.facility.plants import element, link

K = ElementKind


def test_heat_is_shared_by_the_coolers_of_a_zone_and_gathered_on_the_way_to_the_dry_cooler() -> None:
    elements = [
        element("DC", K.DRY_COOLER, rated_kw=100),
        element("FW-1", K.FAN_WALL, rated_kw=40),
        element("FW-2", K.FAN_WALL, rated_kw=80),
        element("PDU-1", K.PDU),
        element("PDU-2", K.PDU),
    ]
    routes = ("DC>FW-1", "DC>FW-2", "FW-1>PDU-1", "FW-2>PDU-1", "FW-2>PDU-2")
    links = [link(route, kind=LinkKind.COOLING) for route in routes]
    net = network(elements, links, LinkKind.COOLING)
    found = cooling(net, np.array([0, 0, 0, 30.0, 20.0]))
    assert found.loads.into_kw.sum(1) == pytest.approx([50, 15, 35, 30, 20])
    assert found.against.load_pct == pytest.approx([50, 37.5, 43.75, 0, 0])
    # FW-1 leaves 25, FW-2 45, the dry cooler 50, which PDU-1's two share.
    assert found.left_kw[1:] == pytest.approx([25, 45, 50, 45])
    assert np.isinf(found.left_kw[0])
    stopped = cooling(net, np.array([0, 0, 0, 30.0, 20.0]), np.array([1, 1, 0, 1, 1]))
    assert stopped.loads.into_kw.sum(1) == pytest.approx([30, 30, 0, 30, 0])
