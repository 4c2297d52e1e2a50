"""The stream: first everything, then what changes; compressed, bounded, and within the asker's scope."""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient

from mbongi.core.bus.errors import BusUnavailable
from mbongi.core.identity.models import User
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.fleet import selectors
from mbongi.web.live.board import BOARD, Board
from mbongi.web.live.hub import EVENTS_MAX, Counts, Hub
from mbongi.web.live.view import Wish, gzipped, stream, wish_of
from tests.web.conftest import BACKEND, Pilot, alarm, show

ALL = Wish(None, ("power_w",))


class CountingHub(Hub):
    """A hub that counts without a database."""

    async def counts(self, scope: Any) -> Counts:
        """Six machines, one alarm."""
        return Counts(6, 1)


async def parts(content: AsyncIterator[bytes], count: int) -> list[tuple[str, Any]]:
    """The next ``count`` events of a stream, by name."""
    found = []
    async for part in content:
        name, _, data = part.decode().partition("\n")
        if name.startswith("event: "):
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
        if len(found) == count:
            break
    return found


async def test_a_stream_begins_with_everything_and_goes_on_with_what_changed() -> None:
    board = filled(3)
    hub = CountingHub(board)
    content = stream(hub, SITE, ALL, "fr")
    first = dict(await parts(content, 2))
    assert first["site"]["machines"] == 6
    assert first["machines"]["id"] == [1, 2, 3]
    board.apply(rows([2], at=2_000_000_000_000))
    hub.tick()
    assert dict(await parts(content, 2))["machines"]["id"] == [2]
    await content.aclose()
    assert hub.clients == 0


async def test_a_slow_reader_gets_one_part_for_all_that_it_missed() -> None:
    board = filled(3)
    hub = CountingHub(board)
    content = stream(hub, SITE, ALL, "fr")
    await parts(content, 2)
    for step in range(1, 500):
        board.apply(rows([1 + step % 3], at=2_000_000_000_000 + step))
        hub.tick()
    missed = [event for event in await parts(content, 2) if event[0] == "machines"]
    assert [sorted(columns["id"]) for _name, columns in missed] == [[1, 2, 3]]
    await content.aclose()


def filled(count: int) -> Board:
    """A board with ``count`` machines."""
    board = Board()
    board.apply(rows(list(range(1, count + 1)), at=1_900_000_000_000))
    return board


def rows(ids: list[int], *, at: int, tenant: int = 0) -> dict[str, Any]:
    """Readings of machines that mine."""
    count = len(ids)
    return {"machine_id": ids, "ts": [at] * count, "tenant_id": [tenant] * count, "state": [2] * count,
            "power_w": [3500.0] * count, "hashrate_ths": [200.0] * count}  # fmt: skip


def test_an_older_row_does_not_replace_a_newer_one() -> None:
    board = Board()
    now = 1_700_000_000_000
    board.apply(rows([1], at=now))
    assert board.apply(rows([1], at=now - 5_000) | {"power_w": [1.0]}) == 0
    reading = board.reading(1)
    assert reading is not None
    assert reading.figure("power_w") == 3500.0


def test_a_row_from_a_clock_that_ran_ahead_gives_way() -> None:
    board = Board()
    board.apply(rows([1], at=9_000_000_000_000))
    assert board.apply(rows([1], at=1_700_000_000_000) | {"power_w": [1.0]}) == 1


def test_stale_readings_are_left_out_of_sums_and_count_as_unknown() -> None:
    board = Board()
    board.apply(rows([1], at=1_700_000_000_000))
    board.apply(rows([2], at=1_700_000_100_000))
    totals = board.totals(SITE, 1_700_000_101)
    assert (totals.fresh, totals.power_w) == (1, 3500.0)
    assert totals.states["unknown"] == 1


def test_nothing_known_is_none_and_not_zero() -> None:
    totals = Board().totals(SITE, 1_700_000_000)
    assert (totals.hashrate_ths, totals.power_w, totals.efficiency_jth, totals.newest_at) == (None,) * 4


async def test_a_compressed_stream_is_readable_part_by_part() -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"event: beat\n\n"
        yield b"event: site\n\n"

    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    assert [unpacker.decompress(part) async for part in gzipped(content())] == [b"event: beat\n\n", b"event: site\n\n"]


@pytest.mark.parametrize(("ids", "figures"), [("x", ""), ("1,2,-3", ""), (",".join(["1"] * 501), ""), ("1", "secret")])
def test_a_wish_that_cannot_be_met_is_refused(ids: str, figures: str) -> None:
    with pytest.raises(ValueError, match=r"ids|figures"):
        wish_of(ids, figures)


def test_who_is_too_far_behind_in_events_is_told(db: None, pilot: Pilot) -> None:
    hub = Hub()
    with acting(SITE):
        row = selectors.open_alarms(1)[0]
    for _ in range(EVENTS_MAX + 10):
        hub.event_number += 1
        hub.events.append((hub.event_number, row))
    assert hub.events_after(0, SITE)[2]
    assert not hub.events_after(hub.event_number - 1, SITE)[2]


@pytest.mark.django_db(transaction=True)
async def test_new_events_reach_the_stream_in_the_readers_language(people: Callable[..., User]) -> None:
    hub = Hub()
    one = await sync_to_async(prepared)()
    hub.start()
    try:
        await until(lambda: hub._last_event is not None)
        await sync_to_async(raised)(one)
        hub.hear()
        await until(lambda: bool(hub.events))
        number, events, _lost = hub.events_after(0, SITE)
        assert (number, [row.machine_id for row in events]) == (1, [one.pk])
        content = stream(hub, SITE, Wish((), ()), "en")
        hub.event_number = 0
        names = await parts(content, 2)
        assert names[0][0] == "site"
        await content.aclose()
    finally:
        await hub.close()
        await sync_to_async(connections.close_all)()


def prepared() -> Any:
    """A machine in the database."""
    from mbongi.fleet.values import MachineState  # noqa: PLC0415 -- beside its only use
    from tests.web.conftest import machine  # noqa: PLC0415

    with acting(SITE):
        return machine(0, MachineState.MINING)


def raised(one: Any) -> None:
    """Open an alarm."""
    with acting(SITE):
        alarm(one)


async def until(holds: Callable[[], bool], tries: int = 400) -> None:
    """Wait for something that comes soon."""
    for _ in range(tries):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come")


@pytest.mark.django_db(transaction=True)
async def test_the_stream_needs_a_signed_in_reader(people: Callable[..., User]) -> None:
    try:
        assert (await AsyncClient().get("/live")).status_code == 401
        client = AsyncClient()
        user = await sync_to_async(people)(Role.TECHNICIAN)
        await client.aforce_login(user, backend=BACKEND)
        assert (await client.get("/live?figures=secret")).status_code == 400
        answer = await client.get("/live", headers={"accept-encoding": "gzip"})
        assert answer["Content-Type"] == "text/event-stream"
        assert answer["Content-Encoding"] == "gzip"
        answer.close()
    finally:
        await sync_to_async(connections.close_all)()


async def test_a_source_that_is_away_is_noticed_and_its_return_too() -> None:
    class Flaky:
        failing = True

        async def changes(self) -> dict[str, Any]:
            if self.failing:
                raise BusUnavailable("nobody answers")
            return rows([1], at=1_700_000_000_000)

    hub = CountingHub(Board())
    hub.source = source = Flaky()
    hub._answered_s = -1000.0
    task = asyncio.create_task(hub._follow_readings())
    await asyncio.sleep(0)
    assert not hub.source_ok
    source.failing = False
    task.cancel()
    task = asyncio.create_task(hub._follow_readings())
    await until(lambda: hub.source_ok)
    assert hub.board.reading(1) is not None
    task.cancel()


def test_the_board_of_the_process_is_what_pages_read(db: None, pilot: Pilot) -> None:
    show(pilot.machines[:1], ts=[4_000_000_000_000], power_w=[1234.0])
    reading = BOARD.reading(pilot.machines[0].pk)
    assert reading is not None
    assert reading.figure("power_w") == 1234.0
