"""The fleet's own navigation: on its pages alone, with what the reader may see, the present entry marked."""

from collections.abc import Callable

import pytest
from django.test import Client

from mbongi.core.identity.values import Permission, Role
from mbongi.web import fleet_nav
from mbongi.web.fleet_nav import FleetPage, Section
from tests.web.conftest import Pilot


def test_entries_stand_by_section_and_the_present_one_is_marked(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    text = sign_in(language="en").get(f"/machines/{pilot.machines[0].pk}/").content.decode()
    assert text.count('<a href="/machines/" aria-current="page">List</a>') == 2  # on a desk and on a phone
    assert text.index(">Watch</span>") < text.index('<a href="/workshop/">Work orders</a>')


def test_a_page_outside_the_fleet_has_no_such_navigation(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in()
    for path in ("/", "/floor/", "/workshop/", "/events/"):
        assert "fleet-nav" not in client.get(path).content.decode(), path


def test_what_a_role_may_not_see_is_not_offered_nor_is_a_section_without_entries(
    pilot: Pilot, sign_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tuple(page for page in fleet_nav.PAGES if page.section is not Section.WATCH or page.url == "/workshop/")
    monkeypatch.setattr(fleet_nav, "PAGES", left)
    text = sign_in(Role.RESEARCHER, language="en").get("/machines/").content.decode()
    assert 'class="fleet-nav"' in text
    assert '<a href="/workshop/">' not in text
    assert ">Watch</span>" not in text
    assert ">Watch</span>" in sign_in(Role.TECHNICIAN, language="en").get("/machines/").content.decode()


def test_the_longest_address_that_fits_is_the_present_one(
    pilot: Pilot, sign_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    deeper = FleetPage(Section.WATCH, "/machines/odd/", "Odd ones", Permission.MACHINE_VIEW)  # type: ignore[arg-type]
    monkeypatch.setattr(fleet_nav, "PAGES", (*fleet_nav.PAGES, deeper))
    user = sign_in().user  # type: ignore[attr-defined]
    found = fleet_nav.fleet_nav("/machines/odd/7/", user)
    assert found is not None
    assert found.here is deeper
