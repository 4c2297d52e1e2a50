"""After an interruption nothing that a stranger says at the address is taken for the machine's word."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from mbongi.base.clock import utc_now
from mbongi.base.config import Fleet
from mbongi.base.ids import ActionId, MachineId
from mbongi.fleet.action_work import Ending, Work
from mbongi.fleet.daemon import acting
from mbongi.fleet.daemon.acting import Actor
from mbongi.fleet.device_errors import SilentError, StrangerError
from mbongi.fleet.image_file import ImageArguments
from mbongi.fleet.ports import Outcome
from mbongi.fleet.reading import MachineReading, Stated
from mbongi.fleet.values import ActionKind, Family
from tests.fleet.beds import Nobody

IMAGE = ImageArguments(image="00" * 32, version="2.0", size_bytes=1, back_s=60.0)
WORK = Work(
    action_id=ActionId(1),
    machine_id=MachineId(7),
    address="127.25.9.1",
    family=Family.ANTMINER,
    model="Antminer S21",
    kind=ActionKind.REBOOT,
    arguments={},
    dry_run=False,
    is_step=False,
    requested_at=utc_now(),
    claimed_at=utc_now(),
    interrupted=True,
    mac="02:4D:42:00:00:01",
)
UPGRADE = replace(WORK, kind=ActionKind.UPGRADE, arguments=msgspec.to_builtins(IMAGE))


@pytest.fixture(autouse=True)
def _answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is at the address has just started, with the version that is wanted."""

    async def poll_fast(_session: Any, reading: MachineReading) -> None:
        reading.uptime_s = 1.0

    async def seen_back(*_arguments: Any, **_options: Any) -> Stated:
        return Stated(firmware=IMAGE.version)

    async def write(*_arguments: Any, **_options: Any) -> None:
        pytest.fail("written to a stranger")

    monkeypatch.setattr(acting, "adapter_of", lambda _family: SimpleNamespace(poll_fast=poll_fast, read_desired=None))
    monkeypatch.setattr(acting, "seen_back", seen_back)
    monkeypatch.setattr(acting, "write", write)


async def ending_of(
    work: Work, monkeypatch: pytest.MonkeyPatch, errors: list[Exception]
) -> tuple[Ending, list[MachineId]]:
    """``errors`` are raised by the proofs of identity, in order; after them the machine proves to be the known one."""
    strangers: list[MachineId] = []

    async def prove(*_arguments: Any, **_options: Any) -> bool:
        if errors:
            raise errors.pop(0)
        return True

    monkeypatch.setattr(acting, "prove", prove)
    actor = Actor(Fleet(), None, Nobody(), on_strangers=strangers.extend)  # type: ignore[arg-type]
    ending = await actor._see_through(work)
    assert ending is not None
    assert not errors, "it was not asked who it is"
    return ending, strangers


@pytest.mark.parametrize("work", [WORK, UPGRADE], ids=["reboot", "upgrade"])
async def test_what_a_stranger_states_ends_no_action_as_done(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    ending, strangers = await ending_of(work, monkeypatch, [StrangerError("another machine answers here")])
    assert (ending.done, strangers) == (False, [WORK.machine_id])
    assert "another machine" in ending.message


@pytest.mark.parametrize("work", [WORK, UPGRADE], ids=["reboot", "upgrade"])
async def test_what_the_known_machine_states_does(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    ending, strangers = await ending_of(work, monkeypatch, [])
    assert (ending.done, ending.verified, strangers) == (True, True, [])


async def test_a_machine_that_starts_and_does_not_say_yet_who_it_is_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ending, strangers = await ending_of(WORK, monkeypatch, [SilentError("no answer")])
    assert (ending.done, ending.verified, strangers) == (True, True, [])


@pytest.mark.parametrize(
    ("kind", "vouched", "is_asked"),
    [
        (ActionKind.SLEEP, True, False),
        (ActionKind.WAKE, True, False),
        (ActionKind.SLEEP, False, True),
        # What is not undone in a second is never written on the poller's word alone.
        (ActionKind.REBOOT, True, True),
        (ActionKind.SET_POOLS, True, True),
    ],
)
async def test_the_pollers_word_is_enough_for_sleep_and_wake_alone(
    kind: ActionKind, vouched: bool, is_asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def prove(*_arguments: Any, **_options: Any) -> bool:
        asked.append("who are you?")
        return True

    async def write(*_arguments: Any, **_options: Any) -> Outcome:
        return Outcome({}, {}, verified=True, message="so it is")

    monkeypatch.setattr(acting, "prove", prove)
    monkeypatch.setattr(acting, "write", write)
    watcher = Nobody()
    watcher.vouched = vouched
    actor = Actor(Fleet(), None, watcher)  # type: ignore[arg-type]
    ending = await actor._see_through(replace(WORK, kind=kind, interrupted=False))
    assert ending is not None
    assert (ending.done, bool(asked)) == (True, is_asked)
