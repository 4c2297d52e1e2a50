"""What `up` makes of the configuration and its options, and what it shows."""

import argparse
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mbongi.base.config import Bus, Config, Fleet, Pool, Twin
from mbongi.base.errors import ConfigError
from mbongi.base.status import ProcessStatus, Watch
from mbongi.run.screen import Screen
from mbongi.run.up import add_arguments, effective, plan, twin_ranges

AT = datetime(2026, 1, 5, tzinfo=UTC)


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)


def test_without_a_range_the_fleet_is_pointed_at_the_virtual_site() -> None:
    config, with_twin = effective(
        Config(twin=Twin(machines=30, rpc_port=14028, http_port=18080, framed_port=14433)), options()
    )

    assert with_twin
    assert config.fleet.ranges == ("127.20.1.0/28", "127.20.2.0/28", "127.20.3.0/28")
    assert (config.fleet.rpc_port, config.fleet.http_port, config.fleet.framed_port) == (14028, 18080, 14433)
    assert config.site.data_dir == Path.cwd() / "var"


def test_with_a_real_range_the_virtual_site_stays_off_and_the_fleet_as_configured() -> None:
    given = Config(fleet=Fleet(ranges=("10.20.0.0/20",)))

    config, with_twin = effective(given, options())

    assert not with_twin
    assert config.fleet == given.fleet


def test_the_virtual_site_runs_beside_a_real_range_when_asked_for() -> None:
    config, with_twin = effective(Config(fleet=Fleet(ranges=("10.20.0.0/20",))), options("--machines", "12"))

    assert with_twin
    assert config.twin.machines == 12
    assert config.fleet.ranges == ("10.20.0.0/20",)


def test_no_virtual_site_on_demand() -> None:
    config, with_twin = effective(Config(), options("--no-twin", "--port", "9000"))

    assert not with_twin
    assert config.fleet.ranges == ()
    assert config.web.port == 9000


@pytest.mark.parametrize(
    ("per_rack", "expected"),
    [(1, "127.20.1.0/30"), (12, "127.20.1.0/28"), (14, "127.20.1.0/28"), (15, "127.20.1.0/27"), (254, "127.20.1.0/24")],
)
def test_a_racks_range_holds_all_its_slots_between_network_and_broadcast_address(per_rack: int, expected: str) -> None:
    assert twin_ranges(Twin(machines=per_rack, per_rack=per_rack)) == (expected,)


def test_servers_start_first_then_those_who_need_them_and_the_control_room_last() -> None:
    steps = [[service.name for service in step] for step in plan(Config(), with_twin=True)]

    assert steps == [
        ["postgres", "bus", "telemetry", "twin", "regtest"],
        ["recorder", "ingest"],
        ["fleet", "facility", "pool", "pool-accounts"],
        ["web"],
    ]


def test_with_nodes_given_the_pool_follows_those_and_no_practice_chain_runs() -> None:
    config, with_twin = effective(
        Config(fleet=Fleet(ranges=("10.20.0.0/20",)), pool=Pool(nodes=("http://node:8332",))), options()
    )

    assert [service.name for step in plan(config, with_twin=with_twin) for service in step][3:] == [
        "recorder",
        "ingest",
        "fleet",
        "facility",
        "pool",
        "pool-accounts",
        "web",
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Pool(processes=2, shard=3), ["fleet", "facility", "pool", "pool-accounts", "pool-server-3", "pool-server-4"]),
        (Pool(follows=True, shard=8, nodes=("http://node:8332",)), ["fleet", "facility", "pool-server-8"]),
    ],
)
def test_several_pool_processes_are_started_each_with_its_number(given: Pool, expected: list[str]) -> None:
    services = plan(Config(pool=given), with_twin=False)[2]

    assert [service.name for service in services] == expected
    assert services[-1].command[-3:] == ("pool-server", "--shard", expected[-1].rpartition("-")[2])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Config(), ["--no-pool"]),
        (Config(pool=Pool(enabled=False)), []),
        (Config(fleet=Fleet(ranges=("10.20.0.0/20",))), []),
        (Config(), ["--no-twin"]),
    ],
)
def test_without_a_virtual_site_or_nodes_or_when_told_so_no_pool_runs(given: Config, words: list[str]) -> None:
    config, with_twin = effective(given, options(*words))

    assert not config.pool.enabled
    names = {service.name for step in plan(config, with_twin=with_twin) for service in step}
    assert not names & {"pool", "pool-accounts", "regtest"}


def test_a_pool_on_a_real_chain_without_nodes_is_refused_with_the_cure() -> None:
    with pytest.raises(ConfigError, match=r"pool.nodes: empty; expected the site's nodes of mainnet, or set MBONGI_"):
        effective(Config(pool=Pool(network="mainnet")), options())


def test_a_server_that_is_named_by_url_is_not_started() -> None:
    steps = plan(Config(bus=Bus(url="nats://bus.example"), pool=Pool(enabled=False)), with_twin=False)

    assert [service.name for service in steps[0]] == ["postgres", "telemetry"]


def process(state: str, message: str = "") -> ProcessStatus:
    return ProcessStatus(name="bus", state=state, since=AT, message=message)  # type: ignore[arg-type]


def test_the_terminal_shows_a_process_once_when_it_is_ready_and_when_it_no_longer_is() -> None:
    out = io.StringIO()
    screen = Screen(out)

    for status in [process("starting"), process("ready"), process("ready"), process("restarting", "killed by SIGKILL")]:
        screen.processes([status])

    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert "ready" in lines[0]
    assert lines[1].strip() == "restarting  bus: killed by SIGKILL"


def test_the_terminal_shows_a_full_disk_once_and_its_end_once() -> None:
    out = io.StringIO()
    screen = Screen(out)
    full, good = Watch(good=False, since=AT, message="disk full"), Watch(good=True, since=AT)

    for watch in [good, full, full, good, good]:
        screen.watches(disk=watch)

    assert [line.split() for line in out.getvalue().splitlines()] == [
        ["disk", "disk", "full"],
        ["disk", "good", "again"],
    ]


def test_the_one_line_to_act_on_is_the_first_accounts_link_or_the_address() -> None:
    first, later = io.StringIO(), io.StringIO()

    Screen(first).link("http://localhost:8420", "http://localhost:8420/start/abc")
    Screen(later).link("http://localhost:8420", "")

    assert "works once" in first.getvalue()
    assert "http://localhost:8420/start/abc" in first.getvalue()
    assert later.getvalue().strip() == "Open http://localhost:8420/"
