"""The house is tidy, and each rule of tidiness is able to fail."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house import tidy

ROOT = Path(__file__).parents[2]
Rule = Callable[[Path], list[str]]

LOCK = '{"packages": {"": {}, "node_modules/a": {"integrity": "sha512-x"}}}'
TIDY: dict[str, str] = {
    "src/mbongi/__init__.py": '"""What the package owns."""\n',
    "src/mbongi/thing.py": '"""A thing."""\n\n\ndef act() -> None:\n    """Act."""\n',
    "requirements/run.txt": "a==1 \\\n    --hash=sha256:00\nb==2 \\\n    --hash=sha256:01\n",
    "package-lock.json": LOCK,
    ".npmrc": "fund=false\n",
    "README.md": "[guide](docs/guide/en/a.md)\n",
    "docs/guide/en/a.md": "A\n",
    "docs/guide/fr/a.md": "A\n",
    "docs/decisions/0001-one.md": "# 1. One\n## Context\n## Decision\n## Consequences\n",
    "tests/test_thing.py": "def test_it():\n    pass\n",
}


@pytest.mark.parametrize("rule", tidy.RULES, ids=lambda rule: rule.__name__)
def test_the_house_is_tidy(rule: Rule) -> None:
    assert rule(ROOT) == []


@pytest.fixture
def house(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for name, text in TIDY.items():
        write(tmp_path / name, text)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("rule", tidy.RULES, ids=lambda rule: rule.__name__)
def test_a_small_tidy_house_satisfies_every_rule(house: Path, rule: Rule) -> None:
    assert rule(house) == []


ADDRESS = "https:" + "//example.org"
"""In two, so that no address stands even here."""
LONG_FUNCTION = '"""A thing."""\n\n\ndef act():\n    """Act."""\n' + "    act()\n" * 60


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (tidy.long_files, "src/mbongi/long.py", '"""Long."""\n' + "x = 1\n" * 500),
        (tidy.long_functions, "src/mbongi/long.py", LONG_FUNCTION),
        (tidy.leftover_words, "src/mbongi/later.py", '"""Later."""\n# TO' + "DO: later\n"),
        (tidy.leftover_words, "docs/later.md", "FIX" + "ME\n"),
        (tidy.catch_all_names, "src/mbongi/utils.py", '"""Things."""\n'),
        (tidy.catch_all_names, "tests/helpers/a.py", '"""Things."""\n'),
        (tidy.package_inits, "src/mbongi/part/__init__.py", ""),
        (tidy.package_inits, "src/mbongi/part/__init__.py", '"""Part."""\nimport os\n'),
        (tidy.public_docstrings, "src/mbongi/mute.py", "x = 1\n"),
        (tidy.public_docstrings, "src/mbongi/mute.py", '"""M."""\n\n\ndef act():\n    pass\n'),
        (tidy.config_loaders, "src/mbongi/core/x.py", '"""X."""\nfrom mbongi.base.config import load_config\n'),
        (tidy.lock_addresses, "requirements/run.txt", "--index-" + f"url {ADDRESS}/simple\n"),
        (tidy.lock_addresses, "requirements/run.txt", "a==1\nb==2 \\\n    --hash=sha256:01\n"),
        (tidy.lock_addresses, "package-lock.json", '{"packages": {"node_modules/a": {"version": "1"}}}'),
        (tidy.lock_addresses, "package-lock.json", LOCK.replace("sha512-x", f"{ADDRESS}/a.tgz")),
        (tidy.broken_links, "docs/page.md", "[gone](gone.md)\n"),
        (tidy.broken_links, "docs/page.md", "![picture](pictures/gone.png)\n"),
        (tidy.unpaired_guides, "docs/guide/en/b.md", "B\n"),
        (tidy.unpaired_guides, "docs/guide/fr/b.md", "B\n"),
        (tidy.decision_records, "docs/decisions/0003-three.md", TIDY["docs/decisions/0001-one.md"].replace("1", "3")),
        (tidy.decision_records, "docs/decisions/0002-two.md", "# 2. Two\n## Context\n## Decision\n"),
        (tidy.unwatched_tests, "tests/test_off.py", "import pytest\npytest.skip('later')\n"),
    ],
)
def test_each_rule_finds_what_was_planted(house: Path, rule: Rule, name: str, text: str) -> None:
    write(house / name, text)

    assert rule(house) != []
