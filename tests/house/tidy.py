"""The rules of a tidy house. Each takes the root of the repository and returns its complaints, one line each."""

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
MODULE_NAMES_FORBIDDEN = {"utils", "util", "utilities", "helpers", "helper", "misc", "common", "extras", "stuff"}
HOSTS = re.compile(r"https?://")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
WORDS_LEFT_OVER = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
TEXT_SUFFIXES = {".py", ".md", ".html", ".css", ".js", ".sh", ".toml", ".txt", ".csv", ".service", ".conf", ".sql", ""}


def files(root: Path, *suffixes: str) -> Iterator[Path]:
    """The files of the repository: tracked ones, and new ones that git would not ignore."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in sorted(set(listing.split("\0")) - {""}):
        path = root / name
        if path.is_file() and (not suffixes or path.suffix in suffixes):
            yield path


def modules(root: Path) -> Iterator[tuple[Path, str]]:
    """Every Python file with its text; migrations are written by Django and left out."""
    for path in files(root, ".py"):
        if "migrations" not in path.parts:
            yield path.relative_to(root), path.read_text(encoding="utf-8")


def long_files(root: Path) -> list[str]:
    return [
        f"{path}: {count} lines; at {FILE_LINES_MAX} it becomes a folder"
        for path, text in modules(root)
        if (count := text.count("\n")) > FILE_LINES_MAX
    ]


def long_functions(root: Path) -> list[str]:
    return [
        f"{path}:{node.lineno}: {node.name} has {count} lines; at most {FUNCTION_LINES_MAX}"
        for path, text in modules(root)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (count := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]


def leftover_words(root: Path) -> list[str]:
    complaints = []
    for path in files(root):
        if path.suffix not in TEXT_SUFFIXES or path.name == "package-lock.json":
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if found := WORDS_LEFT_OVER.search(line):
                complaints.append(f"{path.relative_to(root)}:{number}: {found[0]}")
    return complaints


def catch_all_names(root: Path) -> list[str]:
    return [
        f"{path.relative_to(root)}: name it after what it holds"
        for path in files(root, ".py")
        if MODULE_NAMES_FORBIDDEN & {part.removesuffix(".py") for part in path.relative_to(root).parts}
    ]


def package_inits(root: Path) -> list[str]:
    """A package under src says in its docstring what it owns, and imports nothing; ``models`` lists its tables."""
    complaints = []
    for path, text in modules(root):
        if path.name != "__init__.py" or path.parts[0] != "src" or {"management", "commands"} & set(path.parts):
            continue
        tree = ast.parse(text)
        if not ast.get_docstring(tree):
            complaints.append(f"{path}: says nothing")
        if len(tree.body) > 1 and path.parent.name != "models":
            complaints.append(f"{path}: holds more than its docstring")
    return complaints


def public_docstrings(root: Path) -> list[str]:
    """Modules and top-level public classes and functions under src and bench say what they are."""
    complaints = []
    for path, text in modules(root):
        if path.parts[0] not in {"src", "bench"}:
            continue
        tree = ast.parse(text)
        if not ast.get_docstring(tree):
            complaints.append(f"{path}: no docstring")
        for node in tree.body:
            is_named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            if is_named and not node.name.startswith("_") and not ast.get_docstring(node):
                complaints.append(f"{path}:{node.lineno}: {node.name} has no docstring")
    return complaints


def config_loaders(root: Path) -> list[str]:
    """Only ``run/`` and ``settings.py`` load the configuration; everything else is handed its part."""
    return [
        f"{path}: loads the configuration"
        for path, text in modules(root)
        if path.parts[:2] == ("src", "mbongi")
        and path.parts[2] not in {"run", "settings.py"}
        and path.name != "config.py"
        and "load_config" in text
    ]


def lock_addresses(root: Path) -> list[str]:
    """Lock files carry hashes and no address to download from."""
    complaints = []
    for path in [*(root / "requirements").glob("*.txt"), root / "package-lock.json", root / ".npmrc"]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if HOSTS.search(line):
                complaints.append(f"{path.relative_to(root)}:{number}: an address")
    for path in (root / "requirements").glob("*.txt"):
        pins = re.split(r"\n(?=[A-Za-z0-9])", path.read_text(encoding="utf-8"))
        complaints += [
            f"{path.relative_to(root)}: {pin.split()[0]}: no hash"
            for pin in pins
            if "==" in pin and "sha256:" not in pin
        ]
    packages = json.loads((root / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    complaints += [
        f"package-lock.json: {name}: no hash" for name, entry in packages.items() if name and "integrity" not in entry
    ]
    return complaints


def broken_links(root: Path) -> list[str]:
    """Links and pictures of the pages lead to files that are there."""
    complaints = []
    for path in files(root, ".md"):
        for target in LINK.findall(path.read_text(encoding="utf-8")):
            file = target.split("#")[0]
            if file and not re.match(r"[a-z]+:", file) and not (path.parent / file).exists():
                complaints.append(f"{path.relative_to(root)}: {target}: not there")
    return complaints


def unpaired_guides(root: Path) -> list[str]:
    """Every page of the guide stands in French and in English."""
    guide = root / "docs" / "guide"
    names = {language: {path.name for path in (guide / language).glob("*.md")} for language in ("fr", "en")}
    missing = [f"docs/guide/fr/{name}: missing" for name in names["en"] - names["fr"]]
    return sorted(missing + [f"docs/guide/en/{name}: missing" for name in names["fr"] - names["en"]])


def decision_records(root: Path) -> list[str]:
    """Decision records are numbered 0001, 0002 … without gap or double, and state their decision and its reason."""
    complaints = []
    paths = sorted((root / "docs" / "decisions").glob("*.md"))
    for number, path in enumerate(paths, 1):
        text = path.read_text(encoding="utf-8")
        if not re.fullmatch(rf"{number:04}-[a-z0-9-]+\.md", path.name):
            complaints.append(f"docs/decisions/{path.name}: expected number {number:04}")
        if not text.startswith(f"# {number}. "):
            complaints.append(f"docs/decisions/{path.name}: expected a title '# {number}. …'")
        complaints += [
            f"docs/decisions/{path.name}: no section {part}"
            for part in ("Context", "Decision", "Consequences")
            if f"## {part}" not in text
        ]
        if text.count("\n") > 60:
            complaints.append(f"docs/decisions/{path.name}: longer than one page")
    return complaints


def unwatched_tests(root: Path) -> list[str]:
    """No test is switched off."""
    switches = re.compile(r"pytest\.(skip|mark\.skip|mark\.xfail|xfail|importorskip)|unittest\.skip")
    return [
        f"{path}: switched off: {found[0]}"
        for path, text in modules(root)
        if path.parts[0] == "tests" and path.parts[1] != "house" and (found := switches.search(text))
    ]


RULES = (
    long_files,
    long_functions,
    leftover_words,
    catch_all_names,
    package_inits,
    public_docstrings,
    config_loaders,
    lock_addresses,
    broken_links,
    unpaired_guides,
    decision_records,
    unwatched_tests,
)
