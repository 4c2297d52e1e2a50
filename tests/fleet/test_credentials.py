"""Passwords of machines: on record before they are written, encrypted, shown to few, never in the ledger."""

import dataclasses

import pytest
from django.db import DatabaseError, transaction

from mbongi.base.errors import ConfigError
from mbongi.core.identity.models import User
from mbongi.core.identity.scope import SITE, Scope, acting
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import credentials, services
from mbongi.fleet.credential_box import seal, unseal
from mbongi.fleet.errors import ActionRefusedError, NotPermittedError, OperationRefusedError
from mbongi.fleet.models import Action, Credential, Machine
from mbongi.fleet.values import ActionKind, Family, OperationKind
from tests.fleet.rows import add_machines

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]


@pytest.fixture(autouse=True)
def _own_key(tmp_path, settings):
    """Keys of the tests stay out of the working folder."""
    site = dataclasses.replace(settings.CONFIG.site, data_dir=tmp_path)
    settings.CONFIG = dataclasses.replace(settings.CONFIG, site=site)


def test_what_is_stored_shows_nothing_and_belongs_to_one_machine() -> None:
    sealed = seal(7, "hush-hush")
    assert "hush" not in sealed
    assert unseal(7, sealed) == "hush-hush"
    with pytest.raises(ConfigError, match="machine 7"):
        unseal(8, sealed)
    with pytest.raises(ConfigError, match="restore secrets"):
        unseal(7, sealed[:-6] + "AAAAA=")


@pytest.mark.parametrize(("family", "length"), [(Family.ANTMINER, 20), (Family.WHATSMINER, 8)])
def test_a_new_password_is_random_and_as_long_as_the_family_takes(family: Family, length: int) -> None:
    words = {credentials.new_password(family) for _number in range(50)}
    assert len(words) == 50
    assert {len(word) for word in words} == {length}
    assert set("".join(words)) <= set(credentials.ALPHABET)
    with pytest.raises(ActionRefusedError):
        credentials.new_password(Family.BITAXE)


def test_killed_between_the_record_and_the_write_the_same_password_is_written_again() -> None:
    [machine] = add_machines(1)
    word = credentials.prepare(machine, 11)
    assert unseal(machine, Credential.objects.get().pending) == word
    [known] = credentials.known_passwords({})
    assert (known.password, known.is_pending) == (word, True), "the machine may have it"
    assert credentials.prepare(machine, 11) == word
    assert credentials.prepare(machine, 12) == word, "an open one is never thrown away"


def test_killed_between_the_write_and_the_settling_the_password_is_still_known() -> None:
    [machine] = add_machines(1)
    word = credentials.prepare(machine, 11)
    credentials.settle(machine, 11)
    [known] = credentials.known_passwords({})
    assert (known.machine_id, known.password) == (machine, word)
    assert word not in repr(known)
    assert credentials.prepare(machine, 11) == word, "its own action finds what it has set"
    assert Credential.objects.get().pending == ""
    assert credentials.prepare(machine, 12) != word
    credentials.settle(machine, 11)
    assert [(known.password == word, known.is_pending) for known in credentials.known_passwords({})] == [
        (True, False),
        (False, True),
    ], "a late word of the first action changes nothing"


def test_showing_one_is_an_entry_of_the_ledger_without_it(people) -> None:
    [machine] = add_machines(1)
    word = credentials.prepare(machine, 11)
    credentials.settle(machine, 11)
    with pytest.raises(NotPermittedError):
        credentials.show(people(Role.SHIFT_LEAD), machine, reason="at the console")
    with pytest.raises(ActionRefusedError):
        credentials.show(people(Role.SITE_MANAGER), machine, reason=" ")
    assert credentials.show(people(Role.SITE_MANAGER), machine, reason="at the console") == credentials.Shown(word)
    [entry] = ledger.entries(limit=1)
    assert entry.action == "fleet.machine.password.show"
    assert word not in repr(entry)


def test_while_a_change_is_in_doubt_both_are_shown_and_known(people) -> None:
    [machine] = add_machines(1)
    first = credentials.prepare(machine, 11)
    shown = credentials.show(people(Role.SITE_MANAGER), machine, reason="at the console")
    assert (shown.password, shown.pending) == ("", first)
    assert "the one of the settings" in shown.note
    credentials.settle(machine, 11)
    second = credentials.prepare(machine, 12)

    shown = credentials.show(people(Role.SITE_MANAGER), machine, reason="at the console")

    assert (shown.password, shown.pending) == (first, second)
    assert "the one or the other" in shown.note
    [entry] = ledger.entries(limit=1)
    assert entry.after["in_doubt"]
    assert not [word for word in (first, second) if word in repr((entry, shown))]
    cache: dict[str, str] = {}
    assert {known.password for known in credentials.known_passwords(cache)} == {first, second}
    assert set(cache.values()) == {first, second}


def test_a_retired_machine_is_recognised_by_its_password_when_it_returns(people) -> None:
    [machine] = add_machines(1)
    word = credentials.prepare(machine, 11)
    credentials.settle(machine, 11)
    services.retire(people(Role.SITE_MANAGER), [machine], "sold")
    [known] = credentials.known_passwords({})
    assert (known.password, known.address, known.is_retired) == (word, None, True)


def test_without_one_of_its_own_there_is_nothing_to_show(people) -> None:
    [machine] = add_machines(1)
    with pytest.raises(ActionRefusedError, match="none of its own"):
        credentials.show(people(Role.SITE_MANAGER), machine, reason="at the console")


def test_rotation_is_an_operation_over_those_that_can_and_lack_one(people) -> None:
    first, second = add_machines(2)
    Machine.objects.filter(pk=second).update(family="bitaxe")
    manager = people(Role.SITE_MANAGER)
    with pytest.raises(NotPermittedError):
        credentials.rotate(people(Role.SHIFT_LEAD), reason="delivery")
    row = credentials.rotate(manager, reason="delivery", only_common=True)
    assert row.kind is OperationKind.CREDENTIALS
    assert list(Action.objects.values_list("machine_id", "kind")) == [(first, ActionKind.SET_CREDENTIALS)]
    credentials.prepare(first, 5)
    credentials.settle(first, 5)
    with pytest.raises(OperationRefusedError):
        credentials.rotate(manager, reason="delivery", only_common=True)


def test_the_action_takes_no_password_from_anybody(people) -> None:
    [machine] = add_machines(1)
    with pytest.raises(ActionRefusedError):
        services.request_action(
            people(Role.SITE_MANAGER), [machine], ActionKind.SET_CREDENTIALS, {"new": "mine"}, reason="x"
        )
    with pytest.raises(NotPermittedError):
        services.request_action(people(Role.TECHNICIAN), [machine], ActionKind.SET_CREDENTIALS, reason="x")


def test_a_tenant_reads_no_password_of_its_own_machines_either(north) -> None:
    """Who has the password can change the pools. The database itself shows the rows to nobody but the site."""
    mine, other = add_machines(2, tenant=north)
    credentials.prepare(mine, 11)
    odd = User.objects.create(email="odd@example.org", role=Role.SECURITY_OFFICER, tenant=north)
    with acting(Scope(tenant_id=north.pk, site_wide=False)):
        assert Machine.objects.filter(pk=mine).exists()
        assert not Credential.objects.exists()
        assert not credentials.known_passwords({})
        assert not Credential.objects.update(sealed="x", pending="")
        with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
            Credential.objects.create(machine_id=other)
        with pytest.raises(ActionRefusedError, match="none of its own"):
            credentials.show(odd, mine, reason="x")
    with acting(SITE):
        assert Credential.objects.get().pending
