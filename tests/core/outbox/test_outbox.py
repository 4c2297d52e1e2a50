"""The outbox and the relay to the bus."""

import asyncio
from typing import Any

import msgspec
import pytest
from django.db import transaction

from mbongi.base.config import Config
from mbongi.core.bus import outbox
from mbongi.core.bus.errors import BusError, MessageError, PublishRefused
from mbongi.core.bus.messages import decode, message
from mbongi.core.threads import ThreadBridge
from mbongi.run.recorder import Relay


@message("test.outbox_thing.v1")
class Thing(msgspec.Struct, frozen=True):
    number: int


class FakeBus:
    """Takes what is published; ``refuse_after`` makes it fail from that message on."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes, str]] = []
        self.refuse_after = 1_000
        self.poison = -1

    async def publish(self, subject: str, data: bytes, *, message_id: str) -> None:
        if decode(subject, data).number == self.poison:
            raise PublishRefused("too large")
        if len(self.taken) >= self.refuse_after:
            raise BusError("the bus is away")
        self.taken.append((subject, data, message_id))

    async def close(self) -> None:
        """Nothing to close."""


@pytest.mark.django_db
def test_a_message_waits_only_when_its_transaction_commits() -> None:
    with transaction.atomic():
        outbox.emit(Thing(1), Thing(2))
    with pytest.raises(RuntimeError), transaction.atomic():  # noqa: PT012
        outbox.emit(Thing(3))
        raise RuntimeError
    waiting = outbox.waiting()
    assert [decode(row.subject, row.data) for row in waiting] == [Thing(1), Thing(2)]
    assert waiting[0].subject == "event.test.outbox_thing.v1"
    assert waiting[0].message_id != waiting[1].message_id


@pytest.mark.django_db
def test_a_struct_that_is_no_message_is_refused() -> None:
    class Plain(msgspec.Struct):
        pass

    with pytest.raises(MessageError), transaction.atomic():
        outbox.emit(Plain())


@pytest.mark.django_db(transaction=True)
def test_emitting_outside_a_transaction_is_refused() -> None:
    with pytest.raises(BusError, match="outside a transaction"):
        outbox.emit(Thing(1))


def relay_with(bus: FakeBus, bridge: ThreadBridge) -> Relay:
    relay = Relay(Config(), bridge)
    relay._bus = bus
    return relay


@pytest.mark.django_db(transaction=True)
def test_the_relay_hands_over_in_order_and_forgets_what_the_bus_took() -> None:
    async def scenario() -> list[Any]:
        bus = FakeBus()
        async with ThreadBridge() as bridge:
            assert await relay_with(bus, bridge).step() == 0.0
            assert await relay_with(bus, bridge).step() > 0
        return bus.taken

    with transaction.atomic():
        outbox.emit(*(Thing(number) for number in range(5)))
    taken = asyncio.run(scenario())
    assert [decode(subject, data).number for subject, data, _ in taken] == [0, 1, 2, 3, 4]
    assert outbox.waiting() == []


@pytest.mark.django_db(transaction=True)
def test_what_the_bus_did_not_take_waits_with_the_same_id() -> None:
    async def scenario() -> FakeBus:
        bus = FakeBus()
        bus.refuse_after = 2
        async with ThreadBridge() as bridge:
            with pytest.raises(BusError):
                await relay_with(bus, bridge).step()
            waiting = await bridge.call(outbox.waiting)
            assert [decode(row.subject, row.data).number for row in waiting] == [2, 3]
            bus.refuse_after = 1_000
            await relay_with(bus, bridge).step()
            assert bus.taken[2][2] == waiting[0].message_id
        return bus

    with transaction.atomic():
        outbox.emit(*(Thing(number) for number in range(4)))
    bus = asyncio.run(scenario())
    assert [decode(subject, data).number for subject, data, _ in bus.taken] == [0, 1, 2, 3]


@pytest.mark.django_db(transaction=True)
def test_of_two_relays_only_one_works_until_it_is_gone() -> None:
    async def scenario() -> None:
        async with ThreadBridge() as second:
            async with ThreadBridge() as first:
                assert await first.call(outbox.become_the_relay)
                assert not await second.call(outbox.become_the_relay)
            assert await second.call(outbox.become_the_relay)

    asyncio.run(scenario())


@pytest.mark.django_db(transaction=True)
def test_a_message_that_the_bus_can_never_take_stays_and_holds_up_nobody() -> None:
    async def scenario() -> list[Any]:
        bus = FakeBus()
        bus.poison = 1
        async with ThreadBridge() as bridge:
            relay = relay_with(bus, bridge)
            assert await relay.step() == 0.0
            assert await relay.step() > 0
        return bus.taken

    with transaction.atomic():
        outbox.emit(*(Thing(number) for number in range(3)))
    taken = asyncio.run(scenario())
    assert [decode(subject, data).number for subject, data, _ in taken] == [0, 2]
    assert [decode(row.subject, row.data).number for row in outbox.waiting()] == [1]
