"""What devices say reaches the watch: only what is good is known, and what finds no room is left out and counted."""

import asyncio
from types import SimpleNamespace

import pytest

from mbongi.base.config import Config, Site
from mbongi.facility.daemon import alarming
from mbongi.facility.daemon.alarming import Alarming, Graph, reading_of
from mbongi.facility.values import LinkKind, Observation, Quality, Quantity


def observation(quality=Quality.GOOD, value=31.5):
    return Observation("hall-1", next(iter(Quantity)), value, quality, 1000, 1001)


@pytest.mark.parametrize(
    ("quality", "is_good"),
    [(Quality.GOOD, True), (Quality.STALE, False), (Quality.BAD, False), (Quality.SUBSTITUTED, False)],
)
def test_only_a_good_value_is_known(quality, is_good):
    reading = reading_of(observation(quality))
    assert (reading.tag, reading.value, reading.is_good, reading.at_ms) == ("hall-1", 31.5, is_good, 1000)
    assert reading.quantity == next(iter(Quantity)).value


async def test_observations_are_passed_on_together_and_a_full_disk_does_not_end_it(tmp_path, monkeypatch):
    told, faults = asyncio.Queue(), [OSError("full")]

    async def observe(_self, batch):
        told.put_nowait([each.value for each in batch])
        if faults:
            raise faults.pop()
        return 0

    async def nothing(_self):
        await asyncio.sleep(0)

    monkeypatch.setattr(alarming.AlarmWatch, "observe", observe)
    monkeypatch.setattr(alarming.AlarmWatch, "open", nothing)
    monkeypatch.setattr(alarming.AlarmWatch, "run", nothing)
    monkeypatch.setattr(alarming.Notifying, "run", nothing)
    monkeypatch.setattr(alarming, "RETRY_S", 0.0)
    made = Alarming(Config(site=Site(data_dir=tmp_path)), SimpleNamespace(call=nothing))
    running = asyncio.create_task(made.run())
    made.take([observation()])
    async with asyncio.timeout(5):
        assert await told.get() == [31.5]
        made.take([observation(value=1.0), observation(value=2.0)])
        assert await told.get() == [1.0, 2.0]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_what_finds_no_room_is_left_out_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(alarming, "WAITING_MAX", 2)
    made = Alarming(Config(site=Site(data_dir=tmp_path)), None)
    made.take([observation(), observation()])
    made.take([observation()])
    assert made.left_out == 1
    made._watch.close()


def test_an_element_that_is_entered_while_the_graph_is_read_does_not_end_the_process(monkeypatch):
    fed = SimpleNamespace(source="new-1", target="rack-1", kind=LinkKind.POWER)
    monkeypatch.setattr(alarming.selectors, "elements", list)
    monkeypatch.setattr(alarming.selectors, "links", lambda _kind: [fed])
    monkeypatch.setattr(alarming.selectors, "graph", lambda: [fed])
    assert [edge[:2] for edge in Graph()().edges] == [("new-1", "rack-1")]
