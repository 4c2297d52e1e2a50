"""The import rules of pyproject.toml hold, and each of them fails when somebody breaks it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOUSE = "Imports go down the house only, never up and never between domains on one line"
ORDER = "Inside a domain imports go down the usual file names only"
PRIVACY = "A domain's models, adapters and daemons are its own; others use services, selectors, values and events"
FLEET_PRIVACY = "Domains leave the core's models alone"
WIRE = "Codecs do no I/O"
PURE = "Rules and values are pure"


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--cache-dir", str(root / "cache")],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root / "src"), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources once for all tests of this file, each of which takes back what it plants."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__", "locale", "static"))
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


@pytest.fixture
def plant(copy: Path) -> Iterator[Callable[[str, str], None]]:
    """Adds a line to a module, which may be new, for one test."""
    taken_back: list[Callable[[], object]] = []

    def add(module: str, line: str) -> None:
        path = copy / "src/mbongi" / module
        if not path.parent.exists():
            path.parent.mkdir()
            taken_back.append(lambda: shutil.rmtree(path.parent))
        elif path.exists():
            before = path.read_bytes()
            taken_back.append(lambda: path.write_bytes(before))
        else:
            taken_back.append(path.unlink)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")

    yield add
    for take_back in taken_back:
        take_back()


def test_the_house_keeps_its_own_import_rules(copy: Path) -> None:
    result = lint_imports(copy)

    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("base/planted.py", "import mbongi.wire", HOUSE),
        ("wire/planted.py", "import mbongi.core.ledger", HOUSE),
        ("core/planted.py", "import mbongi.fleet", HOUSE),
        ("fleet/planted.py", "import mbongi.twin", HOUSE),
        ("fleet/planted.py", "import mbongi.web", HOUSE),
        ("fleet/planted.py", "import mbongi.pool", HOUSE),
        ("pool/planted.py", "import mbongi.fleet", HOUSE),
        ("web/planted.py", "import mbongi.run", HOUSE),
        ("web/planted.py", "import mbongi.settings", HOUSE),
        ("newdomain/__init__.py", "", HOUSE),
        ("fleet/values.py", "import mbongi.fleet.services", ORDER),
        ("fleet/models/machine.py", "import mbongi.fleet.selectors", ORDER),
        ("core/identity/selectors.py", "import mbongi.core.identity.services", ORDER),
        ("web/planted.py", "import mbongi.fleet.models", PRIVACY),
        ("web/planted.py", "import mbongi.fleet.adapters", PRIVACY),
        ("web/planted.py", "import mbongi.fleet.daemon", PRIVACY),
        ("web/planted.py", "import mbongi.pool.daemon", PRIVACY),
        ("web/planted.py", "import mbongi.pool.adapters", PRIVACY),
        ("web/planted.py", "import mbongi.core.ledger.models", PRIVACY),
        ("twin/planted.py", "import mbongi.fleet.models", PRIVACY),
        ("fleet/planted.py", "import mbongi.core.identity.models", FLEET_PRIVACY),
        ("wire/planted.py", "import asyncio", WIRE),
        ("wire/planted.py", "import socket", WIRE),
        ("wire/planted.py", "from urllib.request import urlopen", WIRE),
        ("fleet/rules/figures.py", "import django.db", PURE),
        ("fleet/values.py", "import asyncio", PURE),
        ("core/identity/rules.py", "import socket", PURE),
    ],
)
def test_a_planted_violation_breaks_its_contract(
    copy: Path, plant: Callable[[str, str], None], module: str, line: str, contract: str
) -> None:
    plant(module, line)

    result = lint_imports(copy)

    assert result.returncode != 0
    assert broken(result.stdout, contract), result.stdout


def test_nothing_planted_is_left_behind(copy: Path) -> None:
    result = lint_imports(copy)

    assert result.returncode == 0, result.stdout


def broken(output: str, contract: str) -> bool:
    """Whether lint-imports names this contract as broken; a new folder at the top is a configuration error of HOUSE."""
    if contract == HOUSE and "newdomain" in output:
        return True
    return any(line.startswith(contract) and "BROKEN" in line for line in output.splitlines())
