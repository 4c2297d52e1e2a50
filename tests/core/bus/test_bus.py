"""The bus against a real server: acknowledged once, in order, bounded, and through the death of the server."""

import asyncio
import stat

import pytest

from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusFull, BusUnavailable, PublishRefused
from mbongi.core.bus.pull import Delivery
from mbongi.run.bus import ready
from tests.core.data_plane import DataPlane
from tests.embedded import free_ports

pytestmark = pytest.mark.system


async def opened(plane: DataPlane) -> Bus:
    bus = await Bus.open(plane.config, name="test")
    await bus.ensure_streams(plane.config)
    return bus


async def taken(bus: Bus, stream: str, durable: str, count: int, subject: str = ">") -> list[Delivery]:
    """Take and acknowledge exactly ``count`` messages."""
    pull = await bus.pull(stream, durable, subject=subject)
    deliveries: list[Delivery] = []
    async with asyncio.timeout(20):
        while len(deliveries) < count:
            for delivery in await pull.take(100, wait_s=1):
                deliveries.append(delivery)
                await delivery.ack()
    await pull.close()
    return deliveries


async def test_a_message_published_twice_under_one_id_is_stored_once(plane: DataPlane) -> None:
    bus = await opened(plane)

    first = await bus.publish("event.twice", b"one", message_id="twice-1")
    again = await bus.publish("event.twice", b"one", message_id="twice-1")

    assert (first.stream, first.duplicate, again.duplicate) == ("EVENTS", False, True)
    assert again.seq == first.seq
    await bus.close()


async def test_many_messages_are_all_acknowledged_and_delivered_once(plane: DataPlane) -> None:
    bus = await opened(plane)

    acks = await bus.publish_many((("event.many", str(n).encode(), f"many-{n}") for n in range(2_000)), window=64)
    deliveries = await taken(bus, "EVENTS", "many", 2_000, "event.many")

    assert len({ack.seq for ack in acks}) == 2_000
    assert sorted(int(delivery.data) for delivery in deliveries) == list(range(2_000))
    await bus.close()


async def test_single_publishing_keeps_the_order(plane: DataPlane) -> None:
    bus = await opened(plane)
    for n in range(50):
        await bus.publish("event.order", str(n).encode(), message_id=f"order-{n}")

    deliveries = await taken(bus, "EVENTS", "order", 50, "event.order")

    assert [int(delivery.data) for delivery in deliveries] == list(range(50))
    await bus.close()


async def test_what_is_not_acknowledged_comes_again_to_the_same_durable_name(plane: DataPlane) -> None:
    bus = await opened(plane)
    await bus.publish("event.again", b"x", message_id="again")
    pull = await bus.pull("EVENTS", "again", subject="event.again", ack_s=0.3)

    [first] = await pull.take(10, wait_s=5)
    [second] = await pull.take(10, wait_s=5)

    assert (first.seq, first.redelivered) == (second.seq, False)
    assert second.redelivered
    await bus.close()


async def test_a_message_put_aside_carries_its_reason_and_leaves_its_consumer_free(plane: DataPlane) -> None:
    bus = await opened(plane)
    await bus.publish("event.broken", b"\xff", message_id="broken")
    [delivery] = await taken(bus, "EVENTS", "broken", 1, "event.broken")

    await bus.dead_letter(delivery, "not JSON:\r\nat byte 0")
    [dead] = await taken(bus, "DEAD", "dead-test", 1, "dead.event.broken")

    assert dead.data == b"\xff"
    assert dead.headers["Mbongi-Reason"] == "not JSON: at byte 0"
    await bus.close()


async def test_a_request_is_answered_and_one_that_nobody_serves_is_an_error(plane: DataPlane) -> None:
    bus = await opened(plane)

    async def upper(data: bytes) -> bytes:
        return data.upper()

    await bus.serve("shout", upper)

    assert await bus.request("shout", b"mbongi") == b"MBONGI"
    with pytest.raises(BusUnavailable, match="no responders"):
        await bus.request("nobody", b"", limit_s=1)
    await bus.close()


async def test_a_message_past_the_size_limit_is_refused_at_once(plane: DataPlane) -> None:
    bus = await opened(plane)

    with pytest.raises(PublishRefused, match="9000000 bytes"):
        await bus.publish("event.large", bytes(9_000_000), message_id="large")
    await bus.close()


async def test_a_full_stream_refuses_with_a_cure_and_takes_again_once_there_is_room(plane: DataPlane) -> None:
    bus = await opened(plane)

    async def fill() -> None:
        for n in range(14):
            await bus.publish("telemetry.full.x", bytes(4_000_000), message_id=f"full-{n}", limit_s=1)

    with pytest.raises(BusFull, match=r"make room, or raise bus.bytes_max"):
        await fill()

    _, last_seq = await bus.stream_position("TELEMETRY")
    await bus.purge_before("TELEMETRY", last_seq + 1)

    ack = await bus.publish("telemetry.full.x", b"fits", message_id="fits", limit_s=5)
    assert ack.seq == last_seq + 1
    await bus.close()


async def test_events_make_room_for_newer_ones_instead(plane: DataPlane) -> None:
    bus = await opened(plane)

    for n in range(7):
        await bus.publish("event.flood", bytes(3_000_000), message_id=f"flood-{n}", limit_s=5)

    info = await bus.js.stream_info("EVENTS")
    assert info.state.bytes <= 16_000_000
    assert info.state.first_seq > 1
    await bus.close()


async def test_a_wrong_key_is_refused(plane: DataPlane) -> None:
    with pytest.raises(BusUnavailable, match="not connected within 1 s"):
        await Bus.connect(plane.config.bus_url, name="stranger", token="guess", limit_s=1)


async def test_a_bus_that_is_not_there_is_an_error_within_the_limit() -> None:
    [port] = free_ports(1)
    with pytest.raises(BusUnavailable, match=f"127.0.0.1:{port}: not connected within 0.5 s"):
        await Bus.connect(f"nats://127.0.0.1:{port}", name="early", limit_s=0.5)


def test_the_keys_of_the_bus_are_readable_by_their_owner_alone(plane: DataPlane) -> None:
    for path in (plane.config.site.data_dir / "secrets/bus.key", plane.config.site.data_dir / "bus/server.conf"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_publishers_and_consumers_carry_on_through_kill_9_of_the_server(
    plane: DataPlane, caplog: pytest.LogCaptureFixture
) -> None:
    bus = await opened(plane)
    pull = await bus.pull("EVENTS", "killed", subject="event.killed")
    got: list[int] = []

    async def publish() -> int:
        acks = [await bus.publish("event.killed", str(n).encode(), message_id=f"killed-{n}") for n in range(400)]
        return len(acks)

    async def consume() -> None:
        while len(set(got)) < 400:
            for delivery in await pull.take(50, wait_s=1):
                got.append(int(delivery.data))
                await delivery.ack()

    async def disturb() -> None:
        for _ in range(3):
            await asyncio.sleep(0.05)
            await asyncio.to_thread(plane.kill, "bus")
            plane.start("bus", wait=False)
            async with asyncio.timeout(20):
                while not await asyncio.to_thread(ready, plane.config):  # noqa: ASYNC110 -- another process's state
                    await asyncio.sleep(0.05)

    async with asyncio.timeout(60):
        acknowledged, _, _ = await asyncio.gather(publish(), consume(), disturb())

    _, last_seq = await bus.stream_position("EVENTS")
    assert acknowledged == 400
    assert sorted(set(got)) == list(range(400))
    info = await bus.js.stream_info("EVENTS", subjects_filter="event.killed")
    assert info.state.subjects == {"event.killed": 400}
    assert last_seq >= 400
    await bus.close()


def test_sigterm_stops_the_bus_cleanly(plane: DataPlane) -> None:
    assert plane.stop("bus") == 0
    assert not ready(plane.config)
    plane.start("bus")
