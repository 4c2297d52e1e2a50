"""One store without an ingester, and whole data planes, for the tests of a module."""

from collections.abc import Iterator

import pytest

from tests.core.data_plane import DataPlane


@pytest.fixture(scope="module")
def store_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataPlane]:
    """A running gateway alone. A query may take 3 s."""
    directory = tmp_path_factory.mktemp("store")
    with DataPlane(directory, processes=("telemetry",), telemetry={"query_s_max": 3}) as running:
        yield running


@pytest.fixture
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataPlane]:
    """A bus, a store and an ingester, fresh for one test."""
    with DataPlane(tmp_path_factory.mktemp("plane")) as running:
        yield running
