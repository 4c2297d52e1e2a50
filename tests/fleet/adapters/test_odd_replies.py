"""Whatever value a field of a reply takes, the reading is filled or the reply is refused: nothing else happens."""

import contextlib
import copy
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbongi.fleet.adapters import avalon_decode, braiins_decode, luxos_decode, vnish_decode, whatsminer_v3_decode
from mbongi.fleet.reading import MachineDetail, MachineReading
from mbongi.fleet.rules.figures import complete
from mbongi.fleet.values import Family
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.models import model_of
from mbongi.twin.vnish import VNish
from mbongi.wire import avalon, braiins, btminer_v3, luxos, vnish
from mbongi.wire.errors import WireError
from tests.captures import capture
from tests.twin.peers import HandClock

LUXOS = ("summary", "devs", "fans", "temps", "power", "stats", "pools", "config", "events", "profiles")
ODD: list[Any] = [None, "", "nan", "-inf", "word", -1, 0, 1e308, -1e308, True, [], {}, [None], {"a": 1}]


def read_luxos(document: dict[str, Any]) -> None:
    joined = luxos.Joined(**{name: [luxos.decode_answer(json.dumps(part).encode())] for name, part in document.items()})
    reading, detail = MachineReading(ts=0, machine_id=1), MachineDetail()
    luxos_decode.read_joined(joined, reading)
    luxos_decode.put_slow(detail, joined)
    complete(reading)


def read_vnish(document: dict[str, Any]) -> None:
    found = vnish.decode_summary(json.dumps(document["summary"]).encode()).miner or vnish.MinerStats()
    chips = vnish.decode_chains(json.dumps(document["chains"]).encode())
    info = vnish.decode_info(json.dumps(document["info"]).encode())
    reading, detail = MachineReading(ts=0, machine_id=1), MachineDetail()
    vnish_decode.read_stats(found, reading)
    vnish_decode.put_info(detail, info)
    detail.boards = vnish_decode.boards(found.chains, chips, vnish.Factory())
    detail.pools, detail.errors = vnish_decode.pools(found), vnish_decode.errors(found.miner_status, found.chains)
    vnish_decode.judge(found.miner_status, reading, warm_up_s=900.0)
    complete(reading)


def read_braiins(document: dict[str, Any]) -> None:
    parts = {name: json.dumps(part).encode() for name, part in document.items()}
    boards = braiins.decode_boards(parts["miner_hw_hashboards"]).hashboards
    details = braiins.decode_details(parts["miner_details"])
    reading, detail = MachineReading(ts=0, machine_id=1), MachineDetail()
    stats, cooling = braiins.decode_stats(parts["miner_stats"]), braiins.decode_cooling(parts["cooling_state"])
    braiins_decode.read_stats(stats, boards, cooling, reading)
    braiins_decode.put_details(detail, details)
    braiins_decode.put_configuration(detail, braiins.decode_configuration(parts["configuration_miner"]))
    detail.boards = braiins_decode.boards(boards)
    detail.pools = braiins_decode.pools(braiins.decode_groups(parts["pools"]))
    errors = braiins.decode_errors(parts["miner_errors"]).errors
    now = datetime(2026, 3, 20, 22, 0, tzinfo=UTC)
    detail.errors = braiins_decode.errors(errors, now=now, uptime_s=details.bosminer_uptime_s)
    braiins_decode.judge(details, reading)
    complete(reading)


def read_whatsminer_v3(document: dict[str, Any]) -> None:
    parts = {name: json.dumps(part).encode() for name, part in document.items()}
    whole = btminer_v3.Status()
    for name in ("summary", "edevs", "pools"):
        found = btminer_v3.decode_status(parts[f"get_miner_status_{name}"]).msg
        if isinstance(found, btminer_v3.Status):
            setattr(whole, name, getattr(found, name))
    info = btminer_v3.decode_info(parts["get_device_info_with_errors"]).msg
    reading, detail = MachineReading(ts=0, machine_id=1), MachineDetail()
    whatsminer_v3_decode.read_status(whole, reading)
    if isinstance(info, btminer_v3.Info):
        whatsminer_v3_decode.put_info(detail, info)
        whatsminer_v3_decode.put_status(detail, whole, info)
    complete(reading)


def read_avalon(document: dict[str, Any]) -> None:
    parts = {name: json.dumps(part).encode() for name, part in document.items()}
    reading, detail = MachineReading(ts=0, machine_id=1), MachineDetail()
    # What stands in the text of figures, changed as a document, is written as the machine writes it.
    text = " ".join(f"{key}[{value}]" for key, value in document["figures"].items())
    figures = avalon_decode.figures_of(avalon.Stats(rows=[avalon.StatsRow(text=text)]))
    avalon_decode.read_figures(figures, reading)
    avalon_decode.put_figures(detail, figures)
    avalon_decode.figures_of(avalon.decode_stats(parts["avalon_a_stats"]))
    detail.pools = avalon_decode.pools(avalon.decode_pools(parts["pools"]).rows)
    for row in avalon.decode_version(parts["version"]).rows:
        avalon_decode.put_version(detail, row)
    complete(reading)


def avalon_figures() -> dict[str, str]:
    rows = json.loads(capture("avalon", "avalon_a_stats"))["STATS"]
    return dict(re.findall(r"(\w+)\[([^\]]*)\]", rows[0]["MM ID0"]))


def captured(family: str, *names: str) -> dict[str, Any]:
    return {name: json.loads(capture(family, name)) for name in names}


def vnish_pages() -> dict[str, Any]:
    machine = VirtualMachine(
        address="127.20.1.1", model=model_of(Family.VNISH), rack=1, slot=1, seed=1, clock=HandClock()
    )
    firmware = VNish(machine)
    return {name: firmware.pages[name]() for name in ("summary", "chains", "info")}


READERS: dict[str, tuple[Callable[[dict[str, Any]], None], dict[str, Any]]] = {
    "luxos": (
        read_luxos,
        captured(
            "luxos", *["summary", "devs", "fans", "temps", "power", "stats", "pools", "config", "events", "profiles"]
        ),
    ),
    "vnish": (read_vnish, vnish_pages()),
    "whatsminer_v3": (
        read_whatsminer_v3,
        captured(
            "whatsminer_v3",
            "get_miner_status_summary",
            "get_miner_status_edevs",
            "get_miner_status_pools",
            "get_device_info_with_errors",
        ),
    ),
    "avalon": (
        read_avalon,
        captured("avalon", "avalon_a_stats", "pools", "version") | {"figures": avalon_figures()},
    ),
    "braiins": (
        read_braiins,
        captured(
            "braiins",
            "miner_details",
            "miner_stats",
            "miner_hw_hashboards",
            "miner_errors",
            "cooling_state",
            "configuration_miner",
            "pools",
        ),
    ),
}


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of each value in a document, but for the documents themselves."""
    inner = document.items() if isinstance(document, dict) else enumerate(document)
    found = []
    for key, value in inner:
        if len(path) >= 1:
            found.append((*path, key))
        if isinstance(value, dict | list):
            found += places(value, (*path, key))
    return found


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_an_odd_field_never_breaks_the_reading(name: str, data: st.DataObject) -> None:
    read, document = READERS[name]
    changed = copy.deepcopy(document)
    for path in data.draw(st.lists(st.sampled_from(places(document)), min_size=1, max_size=3)):
        place = changed
        try:
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = copy.deepcopy(data.draw(st.sampled_from(ODD)))
        except (TypeError, KeyError, IndexError):
            continue  # an earlier change took this place away
    with contextlib.suppress(WireError):
        read(changed)


@pytest.mark.parametrize("uptime_s", [1e308, -1e308, float("nan"), float("inf"), None])
def test_an_impossible_uptime_breaks_nothing(uptime_s: float | None) -> None:
    row = braiins.Error(timestamp="2026-03-20T21:27:30.060042Z", error_codes=[braiins.Code("V2", "low voltage")])
    found = braiins_decode.errors([row], now=datetime(2026, 3, 20, 22, 0, tzinfo=UTC), uptime_s=uptime_s)
    assert len(found) == (uptime_s in {1e308, float("inf")})
