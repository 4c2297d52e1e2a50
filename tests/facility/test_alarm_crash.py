"""No alarm is lost or doubled when the process is killed between any two steps, nor while the database is away."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest
from django.db import OperationalError, connection

from mbongi.base.clock import now_ms
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.threads import ThreadBridge
from mbongi.facility import alarms
from mbongi.facility.daemon import alarm_watch
from mbongi.facility.daemon.alarm_watch import AlarmWatch
from mbongi.facility.errors import SpoolFullError
from mbongi.facility.models import Alarm, AlarmEvent
from mbongi.facility.rules.alarm_flood import Plant
from mbongi.facility.rules.alarm_limits import Observation
from tests.facility.alarm_bed import TRIP, define

POINTS = (
    *("before-spool", "torn-spool", "after-write", "after-spool", "before-rows"),
    *("after-rows", "before-commit", "after-commit", "after-forget"),
)
ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def listed(people):
    with acting(SITE):
        define(people())


def journal():
    with acting(SITE):
        return list(AlarmEvent.objects.order_by("id").values_list("change", "alarm__raises"))


def trip(value):
    return Observation("tr-1", "trip", value, is_good=True, at_ms=now_ms())


@pytest.mark.usefixtures("listed")
def test_none_is_lost_or_doubled_by_kill_9_between_any_two_steps(tmp_path):
    words = [sys.executable, "-m", "tests.facility.alarm_crash", connection.settings_dict["NAME"], str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    ended = subprocess.run(
        [*words, *POINTS], env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    told = [line for line in ended.stdout.splitlines() if line.startswith("ended:")]
    assert told == [*(f"ended: {point} -9" for point in POINTS), "ended: none 0"], ended.stderr
    changes = int((tmp_path / "said").read_text())
    found = [change for change, _raises in journal()]
    assert found == [("raise", "clear")[number % 2] for number in range(changes)]


@pytest.mark.usefixtures("listed")
async def test_what_is_observed_while_the_database_is_away_arrives_complete_in_order(tmp_path, monkeypatch):
    async with ThreadBridge() as bridge:
        watch = AlarmWatch(tmp_path, bridge, Plant)
        await watch.open()

        def away(*_arguments, **_more):
            raise OperationalError("the server is gone")

        with monkeypatch.context() as gone:
            gone.setattr("mbongi.facility.alarm_work.step", away)
            for number in range(20):
                await watch.observe([trip(float(number % 2 == 0))])
                with pytest.raises(OperationalError):
                    await watch.step()
        watch.close()
        # The process ends before the database is back; another one takes the spool up.
        other = AlarmWatch(tmp_path, bridge, Plant)
        await other.open()
        while await other.step():
            pass
        other.close()
        rows = await bridge.call(journal)
    assert [change for change, _raises in rows] == ["raise", "clear"] * 10


@pytest.mark.usefixtures("listed")
async def test_what_could_not_be_kept_counts_as_not_seen_and_is_seen_with_the_next_reading(tmp_path, monkeypatch):
    async with ThreadBridge() as bridge:
        watch = AlarmWatch(tmp_path, bridge, Plant)
        await watch.open()
        with monkeypatch.context() as full:
            full.setattr(watch._spool, "_bytes_max", 1)
            with pytest.raises(SpoolFullError):
                await watch.observe([trip(1.0)])
        assert await watch.observe([trip(1.0)]) == 1
        await watch.step()
        watch.close()
        assert await bridge.call(lambda: Alarm.objects.get(tag="tr-1").active)


@pytest.mark.usefixtures("listed")
async def test_a_step_waits_while_a_thread_writes_into_the_spool(tmp_path, monkeypatch):
    async with ThreadBridge() as bridge:
        watch = AlarmWatch(tmp_path, bridge, Plant)
        await watch.open()
        begun, may_end, append, forget, told = Event(), Event(), watch._spool.append, watch._spool.forget, []

        def slow(signals):
            begun.set()
            assert may_end.wait(10)
            told.append("kept")
            return append(signals)

        monkeypatch.setattr(watch._spool, "append", slow)
        monkeypatch.setattr(watch._spool, "forget", lambda seq: (told.append("forgotten"), forget(seq)))
        observing = asyncio.create_task(watch.observe([trip(1.0)]))
        assert await asyncio.to_thread(begun.wait, 10)
        stepping = asyncio.create_task(watch.step())
        for _turn in range(3):
            # Through the database's thread and back: a step that does not wait is over by then.
            await bridge.call(journal)
        may_end.set()
        await asyncio.gather(observing, stepping)
        watch.close()
    assert told == ["kept", "forgotten"]


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize("is_full", [False, True])
async def test_what_a_definition_left_out_while_nobody_watched_is_normal(tmp_path, monkeypatch, people, is_full):
    monkeypatch.setattr(alarm_watch, "RELOAD_S", 0.0)

    def narrow():
        with acting(SITE):
            alarms.write_definition(people(), "trip", TRIP | {"tag": "tr-2"}, reason="only this one")

    def is_active():
        with acting(SITE):
            return Alarm.objects.get(tag="tr-1").active

    async with ThreadBridge() as bridge:
        first = AlarmWatch(tmp_path, bridge, Plant)
        await first.open()
        await first.observe([trip(1.0)])
        await first.step()
        first.close()
        await bridge.call(narrow)
        watch = AlarmWatch(tmp_path, bridge, Plant)
        await watch.open()
        if is_full:
            monkeypatch.setattr(watch._spool, "_bytes_max", 1)
        running = asyncio.create_task(watch.run())
        async with asyncio.timeout(20):
            if is_full:
                await asyncio.sleep(0.1)
                assert not running.done()
                monkeypatch.setattr(watch._spool, "_bytes_max", 1_000_000)
            waiting = True
            while waiting:
                waiting = await bridge.call(is_active)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        watch.close()
