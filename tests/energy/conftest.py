"""People that energy's tests act with."""

from collections.abc import Callable

import pytest

from mbongi.core.identity.models import User
from mbongi.core.identity.values import Role


@pytest.fixture
def lead(people: Callable[..., User]) -> User:
    return people(Role.SHIFT_LEAD)


@pytest.fixture
def manager(people: Callable[..., User]) -> User:
    return people(Role.SITE_MANAGER)
