"""`./mbongi` sets itself up, repairs what was cut off, and names what is missing with the cure.

The real packages would take minutes: a copy of the script runs here against tiny lock files, and stand-ins for pip
(a module in the environment that it makes) and npm record what they were asked to do.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLI = "import sys\nprint('ran', *sys.argv[1:])\n"
NPM = '#!/bin/sh\necho npm "$@" >>npm.calls\nmkdir -p node_modules\n'
CC = """#!/bin/sh
echo compiled >>cc.calls
while [ "$1" != -o ]; do shift; done
: >"$2"
"""
NATIVE = [f"src/mbongi/wire/{part}/_native" for part in ("bitcoin", "noise", "stratum_v1")]
TOOLS = "sh awk basename cat cksum df dirname env grep mkdir mv printf readlink rm sed sleep tail tee touch"


class Site:
    """A checkout with tiny lock files and its own PATH."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"

    def make(self) -> None:
        root = self.root
        for folder in ("bin", "requirements", *[str(Path(each).parent) for each in NATIVE]):
            (root / folder).mkdir(parents=True)
        shutil.copy(ROOT / "mbongi", root / "mbongi")
        for name, text in {
            "requirements/run.txt": "",
            "requirements/dev.txt": "",
            "package-lock.json": "{}",
            "src/mbongi/__init__.py": "",
            "src/mbongi/cli.py": CLI,
            **{f"{each}.c": "" for each in NATIVE},
        }.items():
            (root / name).write_text(text)
        for tool in TOOLS.split():
            found = shutil.which(tool)
            assert found, tool
            (self.bin / tool).symlink_to(found)
        # A script, not a link: an interpreter finds its own library by the path that it was started with.
        self.tool("python3", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        self.tool("npm", NPM)
        self.tool("cc", CC)
        self.tool("node", "#!/bin/sh\necho v20.1.0\n")

    def tool(self, name: str, text: str) -> None:
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": str(self.bin), "HOME": str(self.root), "PIP_NO_INDEX": "1"}

    def run(self, *words: str, path: Path | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(path or self.root / "mbongi"), *words],
            env=self.environment,
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A fresh checkout."""
    site = Site(tmp_path / "site")
    site.make()
    return site


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site whose set-up is done; copied, not used, because an environment takes seconds to make."""
    site = Site(tmp_path_factory.mktemp("finished") / "site")
    site.make()
    assert site.run("up").returncode == 0
    return site


@pytest.fixture
def ready(finished: Site, tmp_path: Path) -> Site:
    """A copy of the finished site."""
    shutil.copytree(finished.root, tmp_path / "site", symlinks=True)
    return Site(tmp_path / "site")


@pytest.fixture
def begun(ready: Site) -> Site:
    """A site with an empty environment, and nothing installed in it."""
    for stamp in (ready.root / ".venv").glob("*.stamp"):
        stamp.unlink()
    (ready.root / "node_modules").rmdir()
    (ready.root / "npm.calls").unlink()
    return ready


def test_the_first_start_installs_and_the_second_starts_at_once(site: Site) -> None:
    first, second = site.run("up", "--machines", "9"), site.run("up")

    assert first.returncode == 0, first.stderr
    assert first.stdout == "ran up --machines 9\n"
    assert "installing the Python packages" in first.stderr
    assert (second.stdout, second.stderr) == ("ran up\n", "")
    assert (site.root / "npm.calls").read_text() == "npm ci --no-progress\n"


def test_tests_add_the_development_packages_to_the_same_environment(ready: Site) -> None:
    result = ready.run("test")

    assert "requirements/dev.txt" in result.stderr
    assert "installing the pages" not in result.stderr
    assert ready.run("test").stderr == ready.run("up").stderr == ""


def test_a_changed_lock_file_is_installed_again(ready: Site) -> None:
    (ready.root / "requirements/run.txt").write_text("# changed\n")
    (ready.root / "package-lock.json").write_text('{"changed": 1}')

    result = ready.run("up")

    assert "installing the Python packages" in result.stderr
    assert (ready.root / "npm.calls").read_text().count("npm ci") == 2
    assert ready.run("up").stderr == ""


def test_the_compiled_parts_are_made_once_and_again_after_a_change(ready: Site) -> None:
    made = [ready.root / f"{each}.abi3.so" for each in NATIVE]
    assert all(each.exists() for each in made)

    assert ready.run("up").stderr == ""
    assert (ready.root / "cc.calls").read_text() == "compiled\n" * len(NATIVE)
    (ready.root / f"{NATIVE[1]}.c").write_text("changed\n")
    made[1].unlink()

    assert ready.run("up").stdout == "ran up\n"
    assert (ready.root / "cc.calls").read_text() == "compiled\n" * 2 * len(NATIVE)
    assert all(each.exists() for each in made)


def test_without_a_compiler_it_runs_and_says_so_once(ready: Site) -> None:
    ready.tool("cc", "#!/bin/sh\necho no such header >&2\nexit 1\n")
    (ready.root / f"{NATIVE[0]}.c").write_text("changed\n")

    first, second = ready.run("up"), ready.run("up")

    assert first.stdout == second.stdout == "ran up\n"
    assert "no C compiler with Python's headers" in first.stderr
    assert "apt install gcc python3-dev" in first.stderr
    assert second.stderr == ""
    assert not any((ready.root / f"{each}.abi3.so").exists() for each in NATIVE)


def test_it_runs_from_any_folder_and_through_a_symlink(ready: Site, tmp_path: Path) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    link = elsewhere / "m"
    link.symlink_to(os.path.relpath(ready.root / "mbongi", elsewhere))

    result = ready.run("status", path=link, cwd=elsewhere)

    assert (result.returncode, result.stdout) == (0, "ran status\n"), result.stderr


def test_a_package_without_its_hash_is_refused_and_named(begun: Site) -> None:
    (begun.root / "requirements/run.txt").write_text("sampleproject==4.0.0\n")

    result = begun.run("up")

    assert result.returncode == 1
    assert "mbongi: pip failed: ERROR:" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_set_up_that_was_killed_in_the_middle_is_repaired(begun: Site) -> None:
    begun.tool("npm", "#!/bin/sh\ntouch npm.began\nsleep 60\n")
    with subprocess.Popen(
        [str(begun.root / "mbongi"), "up"], env=begun.environment, start_new_session=True, stderr=subprocess.DEVNULL
    ) as child:
        wait_for(begun.root / "npm.began")
        os.killpg(child.pid, signal.SIGKILL)
    begun.tool("npm", NPM)

    assert begun.run("up").stdout == "ran up\n"
    assert begun.run("up").stderr == ""


def test_an_environment_that_was_cut_off_is_made_anew(ready: Site) -> None:
    (ready.root / ".venv/unfinished").touch()
    leftover = ready.root / ".venv/half-a-package"
    leftover.touch()

    assert ready.run("up").stdout == "ran up\n"
    assert not leftover.exists()


def test_an_environment_whose_python_has_gone_is_made_anew(ready: Site) -> None:
    for path in (ready.root / ".venv/bin").glob("python*"):
        path.unlink()
        path.symlink_to("/nowhere/python3")

    assert ready.run("up").stdout == "ran up\n"


def test_two_set_ups_at_once_wait_for_each_other_and_install_once(begun: Site) -> None:
    begun.tool("npm", NPM + "sleep 1\n")
    both = [
        subprocess.Popen(
            [str(begun.root / "mbongi"), "up"], env=begun.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    outputs = [child.communicate(timeout=120) for child in both]

    assert [out for out, _err in outputs] == [b"ran up\n"] * 2
    assert sum(b"waiting for it" in err for _out, err in outputs) == 1
    assert (begun.root / "npm.calls").read_text().count("npm ci") == 1


def wait_for(path: Path) -> None:
    deadline_s = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert path.exists()


@pytest.mark.parametrize(
    ("tool", "text", "says"),
    [
        ("python3", "", "Python 3.11 or newer is missing; install it"),
        ("python3", "#!/bin/sh\nexit 1\n", "Python 3.11 or newer is missing; install it"),
        ("node", "", "node is missing; install Node.js 20 or newer"),
        ("npm", "", "npm is missing; install Node.js 20 or newer"),
        ("node", "#!/bin/sh\necho v18.20.0\n", "Node.js v18.20.0 is too old; install version 20 or newer"),
        ("npm", "#!/bin/sh\necho no network; exit 1\n", "npm failed; the last lines of build/setup.log say why"),
        (
            "df",
            "#!/bin/sh\necho head\necho /dev/x 9 9 1048576 9% /\n",
            "1024 MB of disk are free, the set-up needs 2048",
        ),
    ],
)
def test_what_is_missing_is_one_line_with_the_cure(site: Site, tool: str, text: str, says: str) -> None:
    (site.bin / tool).unlink()
    if text:
        site.tool(tool, text)

    result = site.run("up")

    assert result.returncode == 1
    assert says in result.stderr.splitlines()[-1]
    assert result.stdout == ""


def test_a_missing_venv_module_is_one_line_with_the_cure(site: Site) -> None:
    site.tool(
        "python3",
        f'#!/bin/sh\ncase "$*" in *ensurepip*) exit 1 ;; esac\nexec {sys.executable} "$@"\n',
    )

    result = site.run("up")

    assert result.returncode == 1
    assert "has no venv module; install it (Debian: apt install python3-venv)" in result.stderr.splitlines()[-1]


def test_after_the_cure_the_same_command_goes_on(begun: Site) -> None:
    (begun.bin / "npm").unlink()
    assert begun.run("up").returncode == 1

    begun.tool("npm", NPM)

    assert begun.run("up").stdout == "ran up\n"
