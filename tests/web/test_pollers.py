"""The pollers' page: who is at work, who is gone, which slots nobody has, how much comes in time."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from django.test import Client

from mbongi.core.identity.values import Role
from mbongi.fleet.poller_status import PollerStatus
from mbongi.web.live.poller_board import GONE_S, POLLERS, PollerBoard
from tests.web.conftest import Pilot


def word(number: int, slots: range, **changes: Any) -> bytes:
    """What a poller says of itself."""
    facts = {"started_ms": 0, "slots_since_ms": 0, "is_whole": False, "leads": number == 0, "machines": 3, "polls": 0}
    facts |= {"failures": 0, "rounds": 0, "rounds_late": 0, "number": number, "slots": tuple(slots)}
    return msgspec.json.encode(PollerStatus(**(facts | changes)))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    POLLERS.__init__()  # type: ignore[misc]
    yield
    POLLERS.__init__()  # type: ignore[misc]


def test_a_poller_that_is_silent_is_gone_and_its_slots_are_nobodys_until_another_says_so() -> None:
    now = [1000.0]
    board = PollerBoard(lambda: now[0])
    board.hear(word(0, range(32)))
    board.hear(word(1, range(32, 64)))
    assert board.owners() == [0] * 32 + [1] * 32
    now[0] += GONE_S + 1
    board.hear(word(0, range(32)))
    assert [one.is_gone for one in board.now()] == [False, True]
    assert board.owners() == [0] * 32 + [None] * 32
    board.hear(word(0, range(64)))
    assert board.owners() == [0] * 64


def test_questions_a_second_are_counted_between_two_words_of_one_run() -> None:
    now = [1000.0]
    board = PollerBoard(lambda: now[0])
    board.hear(word(0, range(64), polls=100))
    assert board.now()[0].polls_per_s is None
    now[0] += 4
    board.hear(word(0, range(64), polls=500, rounds=99, rounds_late=1))
    assert board.now()[0].polls_per_s == 100.0
    assert board.now()[0].in_time_pct == 99.0
    now[0] += 4  # it started anew: its counts began again
    board.hear(word(0, range(64), polls=8, started_ms=7))
    assert board.now()[0].polls_per_s is None
    now[0] += 4
    board.hear(word(0, range(64), polls=16, started_ms=7))
    assert board.now()[0].polls_per_s == 2.0


def test_the_page_says_who_has_what_and_what_is_late(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(Role.TECHNICIAN, language="en")
    assert "No poller has been heard yet" in client.get("/fleet/pollers/").content.decode()
    POLLERS.hear(word(0, range(60)))
    text = client.get("/fleet/pollers/").content.decode()
    assert "4 slots have no poller at this moment." in text
    assert "6 of 6 machines" in text
    assert "Every machine was read in time" in text
    part = client.get("/fleet/pollers/", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert sign_in(Role.TENANT, owner=pilot.north).get("/fleet/pollers/").status_code == 403
