"""Procedures on pages: written in a form, agreed on by two people, signed step by step, with what each may press."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.facility import procedure_rows as rows
from mbongi.facility.errors import ProcedureRefusedError
from mbongi.web.procedure_forms import number_of

pytestmark = pytest.mark.django_db
STEPS = {
    "steps-kind": ["act", "lock", "check", "hold", "unlock", "act"],
    "steps-title": ["open Q1", "lock Q1", "no voltage", "second look", "lock off", ""],
    "steps-element": ["", "Q1", "", "", "Q1", ""],
    "steps-low": ["", "", "0", "", "", ""],
    "steps-high": ["", "", "5,5", "", "", ""],
    "steps-unit": ["", "", "V", "", "", ""],
    "steps-text": ["slowly", "", "", "", "", ""],
    "steps-warning": ["arc <flash>", "", "", "", "", ""],
    "back_out-kind": ["act"],
    "back_out-title": ["close Q1"],
}
FORM: dict[str, Any] = {
    "code": "MOP-014",
    "kind": "mop",
    "title": "Change the breaker Q1",
    "purpose": "It is worn.",
    "protection": "gloves\n\nface shield\n",
    "reason": "order 7",
} | STEPS


def page(client: Client, path: str, code: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == code, path
    return answer.content.decode()


def send(client: Client, path: str, **form: Any) -> str:
    answer = client.post(path, form)
    assert answer.status_code == 302, answer.content.decode()[-2000:]
    return str(answer["Location"])


def sign(client: Client, run: str, outcome: str = "done", **form: str) -> str:
    """Press a button of the page as it is shown; the page after it."""
    shown = page(client, run)
    step, key = (re.search(rf'name="{name}" value="([^"]+)"', shown) for name in ("step", "key"))
    assert step is not None
    assert key is not None
    send(client, f"{run}sign/", step=step[1], key=key[1], outcome=outcome, **form)
    return page(client, run)


def test_a_procedure_from_its_form_to_its_last_signature(sign_in: Callable[..., Client]) -> None:
    lead, manager = sign_in(Role.SHIFT_LEAD, language="en"), sign_in(Role.SITE_MANAGER, language="en")
    assert "No procedure yet" in page(lead, "/procedures/")
    place = send(lead, "/procedures/write/", **FORM)
    shown = page(lead, place)
    for text in ("open Q1", "0 … 5.5 V", "face shield", "arc &lt;flash&gt;", "somebody else must approve it"):
        assert text in shown, text
    assert "/approve/" not in shown
    assert send(manager, f"{place}approve/", reason="looked at") == place
    run = send(lead, f"{place}start/", reason="order 7", key="0b9e3a58-3f6d-4d3e-9f0d-5a2f3f1d7c11")

    assert "lock Q1" in sign(lead, run)
    assert "State the number" in sign(lead, run)
    shown = sign(lead, run, reference="lock 4")
    assert "Locks that are on" in shown
    assert "outside the limits" in sign(lead, run, value="231")
    assert "is no number" in sign(lead, run, value="nearly nothing")
    assert "another person" in sign(lead, run, value="0,4")
    assert "another person" in sign(lead, run)
    assert "lock off" in sign(manager, run)
    done = sign(lead, run)
    assert "carried out" in done
    assert "/sign/" not in done
    assert "MOP-014" in page(lead, "/procedures/")


def test_a_run_is_left_and_waits_for_its_lock(sign_in: Callable[..., Client]) -> None:
    lead, manager = sign_in(Role.SHIFT_LEAD, language="en"), sign_in(Role.SITE_MANAGER, language="en")
    technician = sign_in(Role.TECHNICIAN, language="en")
    place = send(lead, "/procedures/write/", **FORM)
    send(manager, f"{place}approve/", reason="looked at")
    run = send(lead, f"{place}start/", reason="x", key="0b9e3a58-3f6d-4d3e-9f0d-5a2f3f1d7c12")
    sign(lead, run)
    sign(lead, run, reference="lock 4")
    assert "Say in a note" in sign(lead, run, "failed")
    assert "This step failed" in sign(lead, run, "failed", note="still live")
    send(lead, f"{run}back-out/", reason="still live")
    assert "this is the way back" in page(lead, run)
    shown = sign(technician, run)
    assert "locks are still on" in shown
    assert "Take it off" not in shown
    assert "Make sure that they are away and safe" in page(manager, run)
    send(technician, f"{run}unlock/", element="Q1", reason="x", key="0b9e3a58-3f6d-4d3e-9f0d-5a2f3f1d7c13")
    assert "only they take it off" in page(technician, run)
    send(lead, f"{run}unlock/", element="Q1", reason="safe", key="0b9e3a58-3f6d-4d3e-9f0d-5a2f3f1d7c14")
    assert "backed out" in page(lead, run)


def test_what_cannot_be_used_is_said_and_nothing_typed_is_lost(sign_in: Callable[..., Client]) -> None:
    lead = sign_in(Role.SHIFT_LEAD, language="en")
    answer = lead.post("/procedures/write/", FORM | {"steps-low": ["", "", "much", "", "", ""]})
    shown = answer.content.decode()
    assert answer.status_code == 400
    assert "Step 3: “much” is no number." in shown
    assert 'value="Change the breaker Q1"' in shown
    assert 'value="no voltage"' in shown
    more = lead.post("/procedures/write/", FORM | {"more": "1"}).content.decode()
    assert more.count('name="steps-title"') == 5 + 8
    with acting(SITE):
        assert rows.procedures() == []


def test_the_next_version_begins_with_the_last(sign_in: Callable[..., Client]) -> None:
    lead = sign_in(Role.SHIFT_LEAD, language="en")
    place = send(lead, "/procedures/write/", **FORM)
    number = place.rstrip("/").rpartition("/")[2]
    shown = page(lead, f"/procedures/write/?from={number}")
    assert 'value="5.5"' in shown
    assert "face shield" in shown
    page(lead, "/procedures/write/?from=99", 404)


@pytest.mark.parametrize("path", ["/procedures/version/99/", "/procedures/run/99/"])
def test_what_is_not_there_is_a_404(sign_in: Callable[..., Client], path: str) -> None:
    page(sign_in(Role.SHIFT_LEAD), path, 404)


def test_tenants_and_trainees_may_not(sign_in: Callable[..., Client]) -> None:
    trainee = sign_in(Role.TRAINEE, language="en")
    page(trainee, "/procedures/")
    page(trainee, "/procedures/write/", 403)
    page(sign_in(Role.RESEARCHER), "/procedures/", 403)


@pytest.mark.parametrize("word", ["nan", "inf", "-Infinity", "1e999", "five"])
def test_what_is_no_finite_figure_is_refused(word: str) -> None:
    with pytest.raises(ProcedureRefusedError):
        number_of(word)
    assert (number_of("5,5"), number_of("")) == (5.5, None)
