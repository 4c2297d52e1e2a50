"""A change of password is refused by strangers, always ends, and leaves no password in what is written down."""

from typing import Any

import pytest

from mbongi.base.clock import utc_now
from mbongi.base.config import Fleet
from mbongi.base.errors import ConfigError
from mbongi.base.ids import ActionId, MachineId
from mbongi.fleet import credentials
from mbongi.fleet.action_work import Work
from mbongi.fleet.daemon import acting
from mbongi.fleet.daemon.acting import Actor
from mbongi.fleet.daemon.vault import Vault
from mbongi.fleet.device_errors import RejectedError, StrangerError
from mbongi.fleet.values import ActionKind, Family
from tests.fleet.beds import Nobody

NEW, OWN, COMMON = "n3wWord", "0wnWord", "c0mmonWord"
WORK = Work(
    action_id=ActionId(1),
    machine_id=MachineId(7),
    address="127.25.9.1",
    family=Family.ANTMINER,
    model="Antminer S21",
    kind=ActionKind.SET_CREDENTIALS,
    arguments={},
    dry_run=False,
    is_step=False,
    requested_at=utc_now(),
    claimed_at=utc_now(),
    interrupted=False,
    mac="02:4D:42:00:00:01",
)


class Record:
    """Stands for the database: it prepares one password, or raises."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure, self.settled = failure, False

    async def insist(self, function: Any, *_arguments: Any) -> str:
        if function is credentials.settle:
            self.settled = True
        elif self.failure is not None:
            raise self.failure
        return NEW


def actor(record: Record, strangers: list[MachineId]) -> Actor:
    config = Fleet(antminer_password=COMMON)
    vault = Vault(config)
    vault._access = {WORK.machine_id: vault.common.with_password(WORK.family, OWN)}
    return Actor(config, record, Nobody(), vault=vault, on_strangers=strangers.extend)  # type: ignore[arg-type]


async def test_a_stranger_that_has_the_common_password_is_given_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def prove(session: Any, _known: Any, *, must: bool) -> bool:
        assert not must
        if session.access.antminer_password == COMMON:
            raise StrangerError("another machine answers here")
        return False

    async def write(*_arguments: Any, **_options: Any) -> None:
        pytest.fail("written to a stranger")

    monkeypatch.setattr(acting, "prove", prove)
    monkeypatch.setattr(acting, "write", write)
    record, strangers = Record(), []

    ending = await actor(record, strangers)._see_through(WORK)

    assert ending is not None
    assert (ending.done, record.settled) == (False, False)
    assert "another machine" in ending.message
    assert strangers == [WORK.machine_id]


async def test_a_password_that_cannot_be_prepared_ends_the_action() -> None:
    ending = await actor(Record(ConfigError("cannot be decrypted")), [])._see_through(WORK)

    assert ending is not None
    assert not ending.done
    assert "no password could be prepared" in ending.message


async def test_a_machine_that_quotes_its_password_brings_it_into_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    async def prove(*_arguments: Any, **_options: Any) -> bool:
        return True

    async def write(*_arguments: Any, **_options: Any) -> None:
        raise RejectedError(f"HTTP 422: the machine answered {NEW!r} is too long, {OWN!r} and {COMMON!r} were not")

    monkeypatch.setattr(acting, "prove", prove)
    monkeypatch.setattr(acting, "write", write)

    ending = await actor(Record(), [])._see_through(WORK)

    assert ending is not None
    assert "is too long" in ending.message
    assert not [word for word in (NEW, OWN, COMMON) if word in ending.message]
