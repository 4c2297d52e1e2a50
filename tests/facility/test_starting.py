"""A plant begins with a first list of alarms."""

import pytest

from mbongi.core.identity.scope import SITE, acting
from mbongi.facility import alarm_rows, starting
from mbongi.facility.rules.alarm_limits import Kind

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _site() -> object:
    with acting(SITE):
        yield


def test_the_first_list_of_alarms_is_one_that_can_be_used() -> None:
    added = starting.enter_alarms()

    rows = [row for row in alarm_rows.definitions() if row.document.kind is not Kind.INFERRED]
    assert added == len(rows) == len(starting.first_alarms())
    assert all(row.document.response and row.document.cause and row.document.consequence for row in rows)
    assert starting.enter_alarms() == 0
