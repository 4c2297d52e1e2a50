"""The poller with devices made of plain objects: what hangs, fails, comes back and grows stale."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator

import pytest

from mbongi.base.clock import now_ms
from mbongi.facility.daemon.polling import BACKOFF_S_MAX, Polling
from mbongi.facility.device_errors import SilentError
from mbongi.facility.ports import DeviceTarget
from mbongi.facility.values import Found, Protocol, Quality, Quantity
from tests.facility.fake_devices import Plant, target


@contextlib.asynccontextmanager
async def polling(plant: Plant, *targets: DeviceTarget, at_once: int = 10) -> AsyncIterator[Polling]:
    made = Polling(plant.take, at_once=at_once)
    made.wiring = plant  # type: ignore[assignment]
    made.set_devices(targets)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_each_device_is_asked_again_and_again_and_what_it_says_is_told() -> None:
    plant = Plant()
    plant.what = {"M-1": 5.0, "M-2": math.nan}
    async with polling(plant, target(1), target(2)) as made:
        await plant.until(lambda: min(plant.asked.get("M-1", 0), plant.asked.get("M-2", 0)) >= 3)
        assert {state.error for state in made.states()} == {""}
        newest = {one.tag: one for one in made.observations()}
    assert (newest["M-1"].value, newest["M-1"].quality) == (5.0, Quality.GOOD)
    assert newest["M-2"].quality is Quality.BAD  # it answers, and does not know
    assert not plant.open


async def test_devices_that_hang_hold_up_no_other_and_no_more_are_asked_at_once_than_allowed() -> None:
    plant = Plant()
    plant.what = {f"M-{number}": "hang" for number in range(1, 6)}
    targets = [target(number) for number in range(1, 12)]
    # A reader that ignores its own time limit is broken off by the poller, after a second.
    async with polling(plant, *targets, at_once=6) as made:
        await plant.until(lambda: plant.asked.get("M-11", 0) >= 5)
        assert plant.at_once_max <= 6
        await plant.until(lambda: sum(state.error == "silent" for state in made.states()) == 5)
        assert all(not state.error for state in made.states() if state.id > 5)


async def test_a_silent_device_is_asked_ever_less_often_and_as_before_once_it_answers() -> None:
    plant = Plant()
    plant.what = {"M-1": SilentError("no answer")}
    async with polling(plant, target(1)) as made:
        await plant.until(lambda: made.states()[0].failures >= 4)
        [state] = made.states()
        assert (state.error, state.detail) == ("silent", "no answer")
        assert state.next_ms - now_ms() > 50  # 20 ms were doubled three times
        plant.what["M-1"] = 7.0
        await plant.until(lambda: not made.states()[0].error)
        assert made.states()[0].failures == 0


@pytest.mark.parametrize(
    ("failures", "wait_s"), [(0, 10.0), (1, 10.0), (2, 20.0), (3, 40.0), (6, BACKOFF_S_MAX), (1000, BACKOFF_S_MAX)]
)
def test_the_wait_doubles_after_each_failure_but_the_first_up_to_a_limit(failures: int, wait_s: float) -> None:
    class Device:
        target = DeviceTarget("M-1", Protocol.MODBUS, "10.9.0.4", 502, period_s=10.0)
        state = type("State", (), {"failures": failures})

    assert Polling._wait_s(Device) == wait_s  # type: ignore[arg-type]


async def test_an_answer_that_nobody_foresaw_costs_that_device_alone() -> None:
    plant = Plant()
    plant.what = {"M-1": ZeroDivisionError("odd")}
    async with polling(plant, target(1), target(2)) as made:
        await plant.until(lambda: plant.asked.get("M-2", 0) >= 3 and plant.asked.get("M-1", 0) >= 2)
        assert {state.tag: state.error for state in made.states()} == {"M-1": "broken", "M-2": ""}


async def test_a_value_that_nobody_renews_is_told_once_more_as_stale() -> None:
    plant = Plant()
    async with polling(plant, target(1, period_s=0.5)) as made:
        await plant.until(lambda: bool(plant.heard))
        plant.what["M-1"] = SilentError("gone")
        good = plant.heard[0]
        made.sweep(good.received_ms + 500)
        assert not [one for one in plant.heard if one.quality is Quality.STALE]
        made.sweep(good.received_ms + 60_000)
        made.sweep(good.received_ms + 61_000)
        [stale] = [one for one in plant.heard if one.quality is Quality.STALE]
        assert (stale.value, stale.at_ms, stale.received_ms) == (1.0, good.at_ms, good.received_ms + 60_000)


async def test_what_a_device_tells_unasked_is_passed_on_until_it_is_removed() -> None:
    plant = Plant()
    async with polling(plant, target(1, period_s=3600.0)) as made:
        await plant.until(lambda: "M-1" in plant.told)
        plant.told["M-1"]([Found(Quantity.FAULT, 1.0)])
        assert plant.heard[-1].quantity is Quantity.FAULT
        made.set_devices([])
        count = len(plant.heard)
        plant.told["M-1"]([Found(Quantity.FAULT, 0.0)])
        assert len(plant.heard) == count
        await plant.until(lambda: not plant.open)


async def test_a_changed_record_starts_its_device_anew_and_leaves_the_others() -> None:
    plant = Plant()
    async with polling(plant, target(1), target(2)) as made:
        await plant.until(lambda: min(plant.asked.get("M-1", 0), plant.asked.get("M-2", 0)) >= 1)
        reads = {state.tag: state.reads for state in made.states()}
        made.set_devices([target(1, period_s=0.03), target(2)])
        now = {state.tag: state.reads for state in made.states()}
        assert now["M-1"] == 0
        assert now["M-2"] >= reads["M-2"]
