"""One embedded bus for the tests of a module."""

from collections.abc import Iterator

import pytest

from tests.core.data_plane import DataPlane


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataPlane]:
    """A running bus with small limits: 64 MB in all, of which 45 are for telemetry and 16 for events."""
    with DataPlane(tmp_path_factory.mktemp("bus"), processes=("bus",), bus={"bytes_max": 64_000_000}) as running:
        yield running
