"""Configuration: the environment wins over the file, the file over the defaults; mistakes name file, key and cure."""

import dataclasses
from pathlib import Path

import pytest

from mbongi.base.config import Config, Fleet, Site, Web, as_environment, load_config
from mbongi.base.errors import ConfigError


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_file_and_variables_the_defaults_hold() -> None:
    assert load_config({}) == Config()


def test_a_file_sets_keys_and_leaves_the_others() -> None:
    Path("mbongi.toml").write_text(
        '[site]\nname = "Brazzaville 1"\n[fleet]\nranges = ["10.20.0.0/20"]\ntimeout_s = 3\n'
    )

    config = load_config({})

    assert config.site == Site(name="Brazzaville 1")
    assert config.fleet == Fleet(ranges=("10.20.0.0/20",), timeout_s=3.0)
    assert isinstance(config.fleet.timeout_s, float)


def test_a_variable_wins_over_the_file() -> None:
    Path("mbongi.toml").write_text("[web]\nport = 9000\nworkers = 2\n")

    assert load_config({"MBONGI_WEB_PORT": "9001"}).web == Web(port=9001, workers=2)


def test_variables_say_lists_truths_and_numbers() -> None:
    config = load_config(
        {
            "MBONGI_FLEET_RANGES": "10.0.0.0/24, 10.0.1.0/24",
            "MBONGI_BUS_FSYNC_ALWAYS": "yes",
            "MBONGI_FLEET_TIMEOUT_S": "2.5",
        }
    )

    assert config.fleet.ranges == ("10.0.0.0/24", "10.0.1.0/24")
    assert config.bus.fsync_always is True
    assert config.fleet.timeout_s == 2.5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[web]\nport = \n", "mbongi.toml: not valid TOML"),
        ("port = 3\n", "mbongi.toml: [port]: no such section; known: site, web"),
        ("web = 3\n", "mbongi.toml: web: found 3; expected a section [web]"),
        ("[wbe]\nport = 3\n", "mbongi.toml: [wbe]: no such section"),
        ("[web]\nprot = 3\n", "mbongi.toml: web.prot: no such key; known: host, port"),
        ('[web]\nport = "x"\n', "mbongi.toml: web.port: found 'x'; expected a whole number"),
        ("[web]\nport = true\n", "mbongi.toml: web.port: found True; expected a whole number"),
        ("[web]\nport = 70000\n", "mbongi.toml: web.port: found 70000; expected 1..65535"),
        ("[web]\nport = 0\n", "expected 1..65535"),
        ("[fleet]\ntimeout_s = 0\n", "mbongi.toml: fleet.timeout_s: found 0.0; expected 0.05..60"),
        ("[fleet]\ntimeout_s = nan\n", "mbongi.toml: fleet.timeout_s: found nan; expected 0.05..60"),
        ('[fleet]\nranges = "10.0.0.0/24"\n', "expected a list of texts"),
        ('[fleet]\nranges = ["10.0.0.1/24"]\n', "expected a range such as 10.20.0.0/20"),
        ('[site]\nlanguage = "de"\n', "mbongi.toml: site.language: found 'de'; expected one of 'fr', 'en'"),
        ('[site]\ntimezone = "Kinshasa"\n', "expected a name such as Africa/Brazzaville"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_what_is_expected(text: str, says: str) -> None:
    Path("mbongi.toml").write_text(text)

    with pytest.raises(ConfigError) as caught:
        load_config({})

    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("MBONGI_WEB_PORT", "many", "MBONGI_WEB_PORT: found 'many'; expected a whole number"),
        ("MBONGI_WEB_PORT", "-1", "MBONGI_WEB_PORT: found -1; expected 1..65535"),
        ("MBONGI_WEB_PROT", "1", "MBONGI_WEB_PROT: no such variable; known: MBONGI_WEB_HOST, MBONGI_WEB_PORT"),
        ("MBONGI_BUS_FSYNC_ALWAYS", "perhaps", "expected true or false"),
        ("MBONGI_FLEET_RANGES", "everything", "expected a range such as 10.20.0.0/20"),
        ("MBONGI_CONFIG", "gone.toml", "MBONGI_CONFIG: gone.toml: no such file"),
    ],
)
def test_a_mistake_in_a_variable_is_named_with_what_is_expected(variable: str, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config({variable: text})

    assert says in str(caught.value)


def test_a_file_that_is_not_text_is_named() -> None:
    Path("mbongi.toml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config({})


def test_a_mended_file_is_read_after_the_mistake() -> None:
    path = Path("mbongi.toml")
    path.write_text("[web]\nport = 99999\n")
    with pytest.raises(ConfigError):
        load_config({})

    path.write_text("[web]\nport = 9999\n")

    assert load_config({}).web.port == 9999


def test_the_environment_of_a_child_gives_the_same_configuration_whatever_the_file_says(tmp_path: Path) -> None:
    config = Config(
        site=Site(name="A", data_dir=tmp_path),
        fleet=Fleet(ranges=("10.0.0.0/24", "10.1.0.0/24"), long_tail=True),
    )
    Path("mbongi.toml").write_text("[web]\nport = 9999\n")

    assert load_config(as_environment(config)) == config


def test_variables_of_other_programs_are_left_alone() -> None:
    assert load_config({"MBONGI_TEST_POSTGRES15_URL": "x", "HOME": "/root"}) == Config()


def test_every_key_of_the_configuration_stands_in_the_readme() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")

    missing = [
        f"{part.name}.{key.name}"
        for part in dataclasses.fields(Config)
        for key in dataclasses.fields(part.default_factory)  # type: ignore[arg-type]
        if f"`{part.name}.{key.name}`" not in readme
    ]

    assert missing == []
