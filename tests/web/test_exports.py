"""Downloads and metrics: what is shown, safe to open, bounded."""

import csv
import io
import json
from collections.abc import Callable

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.fleet.models import Machine
from mbongi.web import metrics
from mbongi.web.exports import download
from tests.web.conftest import Pilot


def sheet(answer: object) -> list[dict[str, str]]:
    """The rows of a CSV download."""
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_taken_for_a_formula(text: str) -> None:
    rows = sheet(download("x", "csv", ["a", "b"], [[text, -1.5]], 1))
    assert rows == [{"a": "'" + text, "b": "-1.5"}]


def test_a_formula_from_a_machine_stays_a_text(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    with acting(SITE):
        Machine.objects.filter(pk=pilot.machines[0].pk).update(firmware='=HYPERLINK("http://x")')
    rows = sheet(sign_in().get("/machines/export.csv"))
    assert rows[0]["firmware"] == '\'=HYPERLINK("http://x")'


def test_a_download_holds_what_the_page_shows(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in()
    rows = sheet(client.get("/machines/export.csv?state=mining&sort=-hashrate_ths"))
    assert [row["slot"] for row in rows] == ["5", "2", "1"]
    found = json.loads(client.get("/machines/export.json?state=mining&sort=-hashrate_ths").content)
    assert [row["slot"] for row in found["rows"]] == [5, 2, 1]
    assert found["rows"][0]["hashrate_ths"] == 204.0


def test_every_page_of_a_list_is_in_its_download(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in()
    assert len(sheet(client.get("/machines/export.csv?limit=1"))) == 6
    assert len(sheet(client.get("/events/export.csv"))) == 2
    assert client.get("/ledger/export.json")["Content-Disposition"].startswith("attachment")


def test_a_bad_filter_makes_no_download(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    assert sign_in().get("/machines/export.csv?state=happy").status_code == 400
    assert sign_in().get("/machines/export.xml").status_code == 404


def test_metrics_are_readable_and_have_units(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    text = sign_in(Role.SITE_MANAGER).get("/metrics").content.decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["mbongi_site_power_watts"].samples[0].value == 6 * 3500.0
    states = {sample.labels["state"]: sample.value for sample in families["mbongi_machines"].samples}
    assert (states["mining"], states["off"], states["unknown"]) == (3, 1, 1)
    assert len(families["mbongi_machine_power_watts"].samples) == 6


def test_metrics_are_for_this_machine_or_the_permitted(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    assert Client(REMOTE_ADDR="127.0.0.1").get("/metrics").status_code == 200
    assert Client(REMOTE_ADDR="10.0.0.5").get("/metrics").status_code == 401
    assert Client(REMOTE_ADDR="127.0.0.1", headers={"X-Forwarded-For": "10.0.0.5"}).get("/metrics").status_code == 401
    assert sign_in(Role.TECHNICIAN).get("/metrics").status_code == 403


def test_the_number_of_series_is_bounded(
    pilot: Pilot, sign_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "MACHINES_MAX", 4)
    text = sign_in().get("/metrics").content.decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert len(families["mbongi_machine_state"].samples) == 4
    assert families["mbongi_machines_left_out"].samples[0].value == 2
