"""The API: answers fit their documented structs, bad input is a clear problem, tokens permit what they say."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.test import Client

from mbongi.base.clock import utc_now
from mbongi.core.identity import services
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Permission, Role
from mbongi.core.telemetry.errors import StoreUnavailable
from mbongi.fleet.models import Action
from mbongi.web import series
from mbongi.web.api import structs
from mbongi.web.api.document import document
from mbongi.web.api.routes import ROUTES, Route
from mbongi.web.problems import Problem
from tests.web import campaign_site, curtail_site, group_site, healing_site, hosting_site, pool_site, work_site
from tests.web.conftest import Pilot

JSON = "application/json"


def problem_of(answer: Any, status: int) -> Problem:
    """The problem document of a refusal."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    return msgspec.json.decode(answer.content, type=Problem)


POOL_QUERIES = {
    "/pool/account": "?name=site",
    "/pool/block": f"?hash={pool_site.HASH}",
    "/pool/proof": f"?window={pool_site.WINDOW}&worker={pool_site.SITE_WORKER}",
}
"""What some routes cannot do without."""


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Series without a telemetry store; its own tests ask a real one."""
    pool_site.use(pool_site.Minutes(), monkeypatch)
    empty = structs.Series(step_s=60, at=[], columns={}, units={}, newest_at=None, age_s=None)
    monkeypatch.setattr(series, "of_site", lambda hours: empty)
    monkeypatch.setattr(series, "of_machine", lambda machine, hours, figures=(): empty)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "GET"], ids=lambda route: route.path)
def test_each_answer_fits_its_struct(
    route: Route, pilot: Pilot, sign_in: Callable[..., Client], stored: None, tmp_path: Path
) -> None:
    client, number = sign_in(), pilot.machines[0].pk
    if route.path == "/actions/{id}":
        number = ask(client, number).json()["id"]
    if route.path.startswith("/pool"):
        with acting(SITE):
            site = pool_site.make_books(pilot.north)
            number = pool_site.payment(client.user, site.north).pk
    number = work_site.number_for(route.path, client.user, pilot, number)
    number = group_site.number_for(route.path, client.user, pilot, number)
    number = hosting_site.number_for(route.path, client.user, pilot, number)
    number = curtail_site.number_for(route.path, client.user, number)
    number = healing_site.number_for(route.path, client.user, pilot.machines[0], number)
    number = campaign_site.number_for(route.path, client.user, pilot.machines[0], number, tmp_path)
    path = route.path.replace("{id}", str(number)) + POOL_QUERIES.get(route.path, "")
    answer = client.get("/api/v1" + path)
    assert answer.status_code == route.status, answer.content
    msgspec.json.decode(answer.content, type=route.answer, strict=True)


def ask(client: Client, machine: int, **changed: Any) -> Any:
    """Ask for an action on a machine."""
    body = {"kind": "sleep", "reason": "grid curtailment", "dry_run": True} | changed
    return client.post(f"/api/v1/machines/{machine}/actions", body, content_type=JSON)


def test_the_document_names_every_route_and_every_reference_leads_somewhere() -> None:
    made = document()
    assert made["openapi"] == "3.1.0"
    assert {(path, method.upper()) for path, methods in made["paths"].items() for method in methods} == {
        (route.path, route.method) for route in ROUTES
    }
    schemas = made["components"]["schemas"]
    for reference in references(made):
        assert reference.removeprefix("#/components/schemas/") in schemas
    names = [one["operationId"] for methods in made["paths"].values() for one in methods.values()]
    assert len(names) == len(set(names))


def references(part: Any) -> list[str]:
    """Every $ref below a part of the document."""
    if isinstance(part, dict):
        own = [part["$ref"]] if "$ref" in part else []
        return own + [found for value in part.values() for found in references(value)]
    return [found for value in part for found in references(value)] if isinstance(part, list) else []


def test_the_document_and_its_guide_are_served(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(Role.AUDITOR, language="en")
    assert json.loads(client.get("/api/v1/openapi.json").content)["info"]["version"]
    guide = client.get("/api/v1/docs/").content.decode()
    assert all(f"/api/v1{route.path}" in guide for route in ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_nobody_gets_an_answer_without_a_token(route: Route, db: None) -> None:
    url = "/api/v1" + route.path.replace("{id}", "1")
    answer = Client().generic(route.method, url, b"{}", JSON)
    assert problem_of(answer, 401).status == 401
    assert answer["WWW-Authenticate"] == "Bearer"


def test_a_bad_token_is_refused(db: None) -> None:
    problem_of(Client().get("/api/v1/site", headers={"Authorization": "Bearer mbongi_wrong"}), 401)


def test_a_token_permits_what_it_was_issued_for(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    user = sign_in().user
    with acting(SITE):
        secret = services.issue_token(user, "reader", utc_now() + timedelta(days=1), [Permission.MACHINE_VIEW])
    program = Client(headers={"Authorization": f"Bearer {secret}"}, enforce_csrf_checks=True)
    assert program.get("/api/v1/machines").status_code == 200
    problem_of(program.get("/api/v1/ledger/entries"), 403)
    problem_of(ask(program, pilot.machines[0].pk), 403)


def test_an_action_is_asked_for_with_a_reason_and_is_a_rehearsal_by_default(
    pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    answer = ask(sign_in(Role.TECHNICIAN), pilot.machines[0].pk)
    assert answer.status_code == 202
    assert answer.json()["dry_run"] is True
    assert answer.json()["status"] == "requested"


def test_a_busy_machine_is_a_conflict(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in()
    assert ask(client, pilot.machines[0].pk).status_code == 202
    assert "occupée" in problem_of(ask(client, pilot.machines[0].pk), 409).detail


def test_several_machines_are_asked_for_all_or_none(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in()
    body = {"kind": "reboot", "reason": "new firmware", "dry_run": False}
    ids = [one.pk for one in pilot.machines[:2]]
    assert client.post("/api/v1/actions", body | {"machine_ids": [*ids, 999]}, content_type=JSON).status_code == 404
    with acting(SITE):
        assert Action.objects.count() == 0
    answer = client.post("/api/v1/actions", body | {"machine_ids": ids}, content_type=JSON)
    assert [one["machine_id"] for one in answer.json()["items"]] == ids


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"kind": "explode", "reason": "x"}',
        b'{"kind": "sleep"}',
        b'{"kind": "sleep", "reason": ""}',
        b'{"kind": "sleep", "reason": "   "}',
        b'{"kind": "sleep", "reason": "x", "surprise": 1}',
        b'{"kind": "sleep", "reason": "x", "pools": [{"url": "stratum+tcp://a:1", "user": "u"}]}',
        b'{"kind": "set_pools", "reason": "x"}',
        b'{"kind": "set_pools", "reason": "x", "pools": [{"url": "http://a", "user": "u"}]}',
        b'{"kind": "set_pools", "reason": "x", "pools": [{"url": "stratum+tcp://a:1", "user": "u", "pass": "p"}]}',
        b"\xff\xfe",
        b'{"kind": "sleep", "reason": "' + b"x" * 501 + b'"}',
    ],
)
def test_a_malformed_body_is_a_problem_and_nothing_is_asked_for(
    body: bytes, pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    answer = sign_in().generic("POST", f"/api/v1/machines/{pilot.machines[0].pk}/actions", body, JSON)
    assert problem_of(answer, 400).detail
    with acting(SITE):
        assert Action.objects.count() == 0


def test_a_body_of_another_kind_is_refused_by_name(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    answer = sign_in().generic("POST", f"/api/v1/machines/{pilot.machines[0].pk}/actions", b"{}", "text/plain")
    assert problem_of(answer, 400).field == "Content-Type"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/machines?limit=x", 400),
        ("/machines?limit=1001", 400),
        ("/machines?offset=-1", 400),
        ("/machines?state=on", 400),
        ("/machines?sort=;drop", 400),
        ("/machines/0", 404),
        ("/machines/abc", 404),
        ("/machines/99999999999", 404),
        ("/machines/1%00", 400),
        ("/events?since=2026-13-01", 400),
        ("/events?before=abc", 400),
        ("/ledger/entries?limit=0", 400),
        ("/site/series?hours=100000", 400),
        ("/nowhere", 404),
    ],
)
def test_a_malformed_query_is_a_clear_problem(
    path: str, status: int, pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    problem_of(sign_in().get(f"/api/v1{path}"), status)


def test_an_unknown_figure_is_named(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    answer = sign_in().get(f"/api/v1/machines/{pilot.machines[0].pk}/series?figures=ts;drop")
    assert problem_of(answer, 400).field == "figures"


def test_another_method_is_refused_with_those_that_are_offered(db: None, sign_in: Callable[..., Client]) -> None:
    answer = sign_in().delete("/api/v1/machines")
    problem_of(answer, 405)
    assert answer["Allow"] == "GET"


def test_a_page_of_another_site_cannot_ask_for_an_action(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in()
    client.handler.enforce_csrf_checks = True
    problem_of(ask(client, pilot.machines[0].pk), 403)


def test_a_store_that_is_away_is_a_503(
    pilot: Pilot, sign_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(hours: int) -> None:
        raise StoreUnavailable("telemetry store: no answer")

    monkeypatch.setattr(series, "of_site", away)
    problem_of(sign_in().get("/api/v1/site/series"), 503)
