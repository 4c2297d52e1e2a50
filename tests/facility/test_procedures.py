"""Procedures are agreed on by two people and run step by step; the ledger has every signature."""

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from mbongi.core.identity.models import Tenant, User
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role, Scope
from mbongi.core.ledger import selectors as ledger
from mbongi.facility import procedure_rows as rows
from mbongi.facility import procedures
from mbongi.facility.errors import NotPermittedError, ProcedureRefusedError, UnknownProcedureError
from mbongi.facility.models import ProcedureEntry
from mbongi.facility.rules.procedures import Outcome, ProcedureKind, RunState
from mbongi.facility.values import VersionState

pytestmark = pytest.mark.django_db
DOCUMENT = {
    "purpose": "Change the breaker Q1",
    "risk": "arc flash",
    "protection": ["gloves class 0", "face shield"],
    "steps": [
        {"title": "open Q1"},
        {"kind": "lock", "title": "lock Q1", "element": "Q1"},
        {"kind": "check", "title": "no voltage", "low": 0, "high": 5, "unit": "V"},
        {"kind": "hold", "title": "second look"},
        {"kind": "unlock", "title": "take the lock off", "element": "Q1"},
    ],
    "back_out": [{"title": "close Q1"}],
}


@pytest.fixture(autouse=True)
def _site() -> object:
    with acting(SITE):
        yield


@pytest.fixture
def lead(people: Callable[..., User]) -> User:
    return people(Role.SHIFT_LEAD)


@pytest.fixture
def manager(people: Callable[..., User]) -> User:
    return people(Role.SITE_MANAGER)


def write(user: User, document: dict[str, object] = DOCUMENT, code: str = "mop-014") -> int:
    kind = ProcedureKind.MOP
    return procedures.write_version(user, code=code, kind=kind, title="Breaker", document=document, reason="worn")


def active(lead: User, manager: User) -> int:
    version = write(lead)
    procedures.approve_version(manager, version, reason="looked at")
    return version


def started(lead: User, manager: User) -> int:
    return procedures.start_run(lead, active(lead, manager), key=uuid4(), reason="order 7")


def sign(user: User, run: int, step: int, *, key: UUID | None = None, **rest: object) -> RunState:
    return procedures.sign(user, run, key=key or uuid4(), step=step, outcome=Outcome.DONE, **rest)  # type: ignore[arg-type]


def acts(subject: str) -> list[str]:
    return [entry.action for entry in reversed(ledger.entries(subject=subject))]


def test_a_version_becomes_active_by_a_second_person_alone(lead: User, manager: User) -> None:
    version = write(manager)
    with pytest.raises(ProcedureRefusedError, match="somebody else must approve"):
        procedures.approve_version(manager, version, reason="mine")
    with pytest.raises(NotPermittedError):
        procedures.approve_version(lead, version, reason="no right")
    with pytest.raises(ProcedureRefusedError, match="it is proposed"):
        procedures.start_run(lead, version, key=uuid4(), reason="early")

    procedures.refuse_version(manager, version, reason="again")
    second = active(lead, manager)
    third = write(lead)
    procedures.approve_version(manager, third, reason="better")

    states = {row.id: row.state for row in rows.versions("MOP-014")}
    assert states == {version: VersionState.REFUSED, second: VersionState.FORMER, third: VersionState.ACTIVE}
    assert acts("procedure:MOP-014")[:3] == [
        "facility.procedure.write",
        "facility.procedure.refuse",
        "facility.procedure.write",
    ]


def test_a_new_version_takes_the_place_of_one_that_is_proposed(lead: User) -> None:
    first, second = write(lead), write(lead)

    assert [(row.id, row.state) for row in rows.versions("MOP-014")] == [
        (second, VersionState.PROPOSED),
        (first, VersionState.REFUSED),
    ]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"steps": []}, "It has no step."),
        ({"steps": [{"kind": "lock", "title": "x", "element": "Q1"}]}, "Step 1: this lock is never taken off again."),
        ({"back_out": []}, "A change of the plant needs a way back."),
        ({"steps": [{"kind": "dance", "title": "x"}]}, "This cannot be read: Invalid enum value 'dance'"),
        ({"extra": 1}, "This cannot be read: Object contains unknown field `extra`"),
    ],
)
def test_what_cannot_be_used_is_said_with_its_step(lead: User, change: dict[str, object], text: str) -> None:
    with pytest.raises(ProcedureRefusedError) as refused:
        write(lead, DOCUMENT | change)
    assert refused.value.text.startswith(text)
    assert rows.procedures() == []


def test_a_code_keeps_its_kind(lead: User) -> None:
    write(lead)
    with pytest.raises(ProcedureRefusedError, match="it is a mop"):
        procedures.write_version(
            lead, code="MOP-014", kind=ProcedureKind.SOP, title="x", document=DOCUMENT, reason="other"
        )


def test_a_run_from_its_first_step_to_its_last(lead: User, manager: User) -> None:
    run, key = started(lead, manager), uuid4()
    sign(lead, run, 0)
    sign(lead, run, 1, reference="lock 4", key=key)
    sign(lead, run, 1, reference="lock 4", key=key)  # the phone sent it twice
    with pytest.raises(ProcedureRefusedError, match="out_of_limits"):
        sign(lead, run, 2, value=231.0)
    sign(lead, run, 2, value=0.2)
    with pytest.raises(ProcedureRefusedError, match="same_person"):
        sign(lead, run, 3)
    sign(manager, run, 3)
    assert sign(lead, run, 4) is RunState.DONE

    seen = rows.run(run)
    assert (seen.row.state, seen.share, seen.row.ended_at is not None, dict(seen.locks)) == (
        RunState.DONE,
        1.0,
        True,
        {},
    )
    assert [(one.number, one.signer, one.value) for one in seen.signatures] == [
        (1, str(lead), None),
        (2, str(lead), None),
        (3, str(lead), 0.2),
        (4, str(manager), None),
        (5, str(lead), None),
    ]
    assert acts(f"procedure_run:{run}") == ["facility.procedure_run.start", *["facility.procedure_run.sign"] * 5]


def test_a_run_that_fails_is_backed_out_and_waits_for_the_lock(
    lead: User, manager: User, people: Callable[..., User]
) -> None:
    run = started(lead, manager)
    sign(lead, run, 0)
    sign(lead, run, 1, reference="lock 4")
    state = procedures.sign(lead, run, key=uuid4(), step=2, outcome=Outcome.FAILED, note="still live")
    assert state is RunState.HELD
    assert procedures.back_out(lead, run, reason="still live") is RunState.BACKING_OUT
    with pytest.raises(ProcedureRefusedError, match="it is backing_out"):
        procedures.back_out(lead, run, reason="twice")
    technician = people(Role.TECHNICIAN)
    assert sign(technician, run, 0) is RunState.BACKING_OUT  # the lock is on
    with pytest.raises(ProcedureRefusedError, match="it is the lock of"):
        procedures.remove_lock(technician, run, "Q1", key=uuid4(), reason="in a hurry")
    with pytest.raises(ProcedureRefusedError, match="no lock is on it"):
        procedures.remove_lock(lead, run, "Q2", key=uuid4(), reason="wrong one")

    assert (
        procedures.remove_lock(manager, run, "Q1", key=uuid4(), reason="owner called, at home") is RunState.BACKED_OUT
    )
    entry = ledger.entries(subject=f"procedure_run:{run}")[0]
    assert (entry.action, entry.actor) == ("facility.procedure_run.unlock", manager.actor)
    assert entry.reason == "owner called, at home"
    assert entry.after["owner"] == f"user:{lead.pk}"


def test_one_key_begins_one_run(lead: User, manager: User) -> None:
    version, key = active(lead, manager), uuid4()
    first = procedures.start_run(lead, version, key=key, reason="order 7")

    assert procedures.start_run(lead, version, key=key, reason="order 7") == first
    assert [row.id for row in rows.runs(live=True)] == [first]
    assert rows.procedures()[0].running == 1


def test_signatures_are_never_changed(lead: User, manager: User) -> None:
    run = started(lead, manager)
    sign(lead, run, 0)

    for change in (lambda: ProcedureEntry.objects.update(note="x"), lambda: ProcedureEntry.objects.all().delete()):
        with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
            change()


def test_tenants_see_no_procedure_and_trainees_sign_none(
    lead: User, manager: User, people: Callable[..., User], tenant: Callable[[str], Tenant]
) -> None:
    run = started(lead, manager)
    with pytest.raises(NotPermittedError):
        sign(people(Role.TRAINEE), run, 0)
    with acting(Scope(tenant_id=tenant("north").pk, site_wide=False)):
        assert rows.procedures() == []
        with pytest.raises(UnknownProcedureError):
            rows.run(run)


@pytest.mark.parametrize(
    "read", [lambda: rows.run(99), lambda: rows.version(99), lambda: rows.versions("X")], ids=["run", "version", "code"]
)
def test_what_is_not_there_is_said_so(read: Callable[[], object]) -> None:
    with pytest.raises(UnknownProcedureError):
        read()


@pytest.mark.parametrize("decide", [procedures.approve_version, procedures.refuse_version])
def test_a_version_is_decided_on_under_the_lock_under_which_the_next_one_is_written(
    lead: User, manager: User, decide: Callable[..., None]
) -> None:
    version = write(lead)
    with CaptureQueriesContext(connection) as said:
        decide(manager, version, reason="looked at")
    locking = [query["sql"] for query in said.captured_queries if "FOR UPDATE" in query["sql"]]
    assert 'FROM "facility_procedure" ' in locking[0]
