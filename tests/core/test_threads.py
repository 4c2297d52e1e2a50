"""The thread bridge."""

import asyncio
import threading

import pytest
from django.db import OperationalError, connection, transaction

from mbongi.core.identity.scope import NOBODY, SITE, as_owner, current_scope
from mbongi.core.ledger import selectors, services
from mbongi.core.ledger.values import NewEntry
from mbongi.core.threads import ThreadBridge


def pid() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (number,) = cursor.fetchone()
    return int(number)


def end_backend(number: int) -> None:
    with as_owner(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [number])


def record() -> int:
    with transaction.atomic():
        return services.append([NewEntry("process:test", "a.b.c", "x:1")])[0]


@pytest.mark.django_db(transaction=True)
async def test_calls_run_in_order_on_one_thread_with_one_connection_for_the_whole_site() -> None:
    async with ThreadBridge() as bridge:
        threads = await asyncio.gather(*(bridge.call(threading.get_ident) for _ in range(5)))
        assert len(set(threads)) == 1
        assert threads[0] != threading.get_ident()
        assert await bridge.call(pid) == await bridge.call(pid)
        assert await bridge.call(current_scope) == SITE
    assert current_scope() == NOBODY


@pytest.mark.django_db(transaction=True)
async def test_a_dead_connection_is_replaced_and_the_call_done_once() -> None:
    async with ThreadBridge() as killer, ThreadBridge() as bridge:
        former = await bridge.call(pid)
        await killer.call(end_backend, former)
        assert await bridge.call(record) == 0
        assert await bridge.call(pid) != former
        size, _root = await bridge.call(selectors.head)
        assert size == 1


@pytest.mark.django_db(transaction=True)
async def test_the_services_own_errors_are_raised_and_not_tried_again() -> None:
    calls = []

    def fail() -> None:
        calls.append(1)
        raise OperationalError("of the service itself")

    async with ThreadBridge() as bridge:
        await bridge.call(pid)
        with pytest.raises(OperationalError, match="itself"):
            await bridge.call(fail)
    assert calls == [1]


@pytest.mark.django_db(transaction=True)
async def test_no_more_calls_wait_than_the_limit() -> None:
    gate, started = threading.Event(), []

    def wait() -> None:
        started.append(1)
        gate.wait(10)

    async with ThreadBridge(waiting_max=2) as bridge:
        calls = [asyncio.create_task(bridge.call(wait)) for _ in range(4)]
        await asyncio.sleep(0.05)
        assert bridge._thread._work_queue.qsize() <= 1
        gate.set()
        await asyncio.gather(*calls)
    assert len(started) == 4
