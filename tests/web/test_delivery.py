"""Headers, static files, sizes: what every answer carries and how little a first visit loads."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError
from django.test import Client

from mbongi.web.assets import Assets, release
from mbongi.web.pages.errors import failed
from tests.web.conftest import Pilot

FIRST_LOAD_BYTES_MAX = 150_000
PAGES = ("/", "/floor/", "/machines/", "/events/", "/ledger/", "/people/", "/tokens/", "/api/v1/docs/", "/account/2fa/")


async def fetch(path: str, *, accepts: bytes = b"gzip", method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """One static file through the ASGI layer."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def django(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("a static path went to Django")

    scope = {"type": "http", "path": path, "method": method, "headers": [(b"accept-encoding", accepts)]}
    await Assets(django)(scope, None, send)  # type: ignore[arg-type]
    headers = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
    return sent[0]["status"], headers, sent[1]["body"]


async def test_a_file_of_this_release_is_kept_for_ever_and_compressed() -> None:
    status, headers, body = await fetch(f"{settings.STATIC_URL}{release().digest}/mbongi/js/app.js")
    assert status == 200
    assert "immutable" in headers["cache-control"]
    assert headers["content-type"].startswith("text/javascript")
    assert b"import" in gzip.decompress(body)


async def test_a_file_of_a_former_release_is_given_but_not_kept() -> None:
    status, headers, body = await fetch(f"{settings.STATIC_URL}0123456789ab/mbongi/css/base.css", accepts=b"")
    assert (status, headers["cache-control"]) == (200, "no-store")
    assert body.startswith(b"/*")


@pytest.mark.parametrize("name", ["../settings.py", "mbongi/js/nothing.js", "", "mbongi/../../settings.py"])
async def test_nothing_but_the_files_is_given(name: str) -> None:
    assert (await fetch(f"{settings.STATIC_URL}{release().digest}/{name}"))[0] == 404


@pytest.mark.parametrize("page", PAGES)
def test_a_first_visit_loads_less_than_the_limit(page: str, pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    answer = sign_in().get(page)
    assert answer.status_code == 200
    size = len(gzip.compress(answer.content))
    modules = [name for name in release().files if name.startswith("mbongi/js/")]
    linked = re.findall(rf"{settings.STATIC_URL}{release().digest}/([^\"]+)", answer.content.decode())
    for name in {*linked, *modules}:
        asset = release().files[name]
        size += len(asset.gzipped or asset.content)
    assert size < FIRST_LOAD_BYTES_MAX


@pytest.mark.parametrize("page", [*PAGES, "/account/login/", "/nowhere/", "/more/", "/account/password/change/"])
def test_no_page_holds_inline_script_or_style(page: str, pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = Client() if "login" in page else sign_in()
    text = client.get(page, follow=True).content.decode()
    scripts = re.findall(r"<script(?![^>]*\bsrc=)([^>]*)>", text)
    assert all('type="application/json"' in attributes for attributes in scripts), scripts
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)


def test_answers_forbid_what_pages_do_not_need(db: None) -> None:
    answer = Client().get("/account/login/")
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    assert "camera=()" in answer["Permissions-Policy"]
    assert "no-store" in answer["Cache-Control"]


def test_no_part_needs_eval_to_know_when_to_renew_itself() -> None:
    """A filter in hx-trigger is compiled with Function(), which the pages' policy forbids."""
    triggers = [
        (path.name, found)
        for path in Path(settings.TEMPLATES[0]["DIRS"][0]).rglob("*.html")
        for found in re.findall(r'hx-trigger="([^"]*)"', path.read_text(encoding="utf-8"))
    ]
    assert len(triggers) > 5
    assert [each for each in triggers if "[" in each[1]] == []


def test_no_page_asks_another_host_for_anything(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    for page in PAGES:
        text = sign_in().get(page).content.decode()
        assert not re.findall(r'(?:src|href|action)="(?:https?:)?//', text), page


def test_healthz_says_ok_and_nothing_else(db: None) -> None:
    assert Client().get("/healthz").content == b"ok\n"


def refuse() -> None:
    """As the driver does when nobody listens."""
    raise OperationalError("connection refused")


def test_a_database_that_is_away_gives_a_page_that_says_so(rf: Any) -> None:
    for path, kind in (("/", "text/html; charset=utf-8"), ("/api/v1/site", "application/problem+json")):
        try:
            refuse()
        except OperationalError:
            answer = failed(rf.get(path))
        assert (answer.status_code, answer["Content-Type"], answer["Retry-After"]) == (503, kind, "10")
        assert b"connection refused" not in answer.content
