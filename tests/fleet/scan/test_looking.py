"""Looking at single addresses: who is found at one may still answer where it was known, and then nobody has moved."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from mbongi.base.config import Fleet
from mbongi.fleet.daemon import scanning
from mbongi.fleet.daemon.scanning import Scanner
from mbongi.fleet.reading import Found
from mbongi.fleet.registry import Registration, former_addresses
from mbongi.fleet.values import Family

MAC = "02:4D:42:00:00:01"


class Record:
    """Stands for the database, which knows a machine at another address."""

    def __init__(self) -> None:
        self.entered: list[tuple[list[str], bool]] = []
        self.looked: list[str] = []

    async def insist(self, function: Any, found: list[Found], *arguments: Any, **options: Any) -> Any:
        addresses = [each.address for each in found]
        if function is former_addresses:
            self.looked += arguments[0]
            return ["10.0.0.7"] if addresses else []
        self.entered.append((addresses, options["complete"]))
        return Registration()


async def looked(monkeypatch: pytest.MonkeyPatch, answering: set[str]) -> Record:
    async def scan(ranges: Iterable[str], config: Fleet, **_options: Any) -> AsyncIterator[Found]:
        for address in ranges:
            if address in answering:
                yield Found(address=address, family=Family.ANTMINER, mac=MAC)

    monkeypatch.setattr(scanning, "scan", scan)
    record = Record()
    await Scanner(Fleet(), record, lambda: None).look(["10.0.0.9"])  # type: ignore[arg-type]
    return record


async def test_who_still_answers_where_it_was_known_is_entered_with_the_newcomer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = await looked(monkeypatch, {"10.0.0.7", "10.0.0.9"})
    assert record.entered == [(["10.0.0.9", "10.0.0.7"], True)]
    assert record.looked == ["10.0.0.9"]


async def test_nobody_answers_where_a_machine_was_that_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await looked(monkeypatch, {"10.0.0.9"})).entered == [(["10.0.0.9"], True)]


async def test_where_nobody_is_found_nobody_is_sought(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await looked(monkeypatch, {"10.0.0.7"})).entered == [([], True)]
