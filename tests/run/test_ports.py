"""A busy port is named with its holder, its key and the cure."""

import os
import socket

import pytest

from mbongi.base.config import Bus, Config, Pool, Postgres, Telemetry, Web
from mbongi.run.ports import Need, PortBusyError, is_free, needed, require_free


def test_a_busy_port_names_the_program_that_holds_it_and_the_variable_that_moves_ours() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]

        with pytest.raises(PortBusyError) as caught:
            require_free([Need("127.0.0.1", port, "web.port")])

    message = str(caught.value)
    assert message.startswith(f"port {port} (web.port) is in use by process {os.getpid()} (")
    assert message.endswith("set MBONGI_WEB_PORT to a free port")


def test_a_port_is_free_once_its_listener_has_gone() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not is_free("127.0.0.1", port)

    assert is_free("127.0.0.1", port)


def test_only_embedded_servers_need_ports() -> None:
    config = Config(
        postgres=Postgres(url="postgresql://db/x"),
        bus=Bus(url="nats://bus"),
        telemetry=Telemetry(url="http://t"),
        pool=Pool(enabled=False),
    )

    assert [need.key for need in needed(config, with_twin=False)] == ["web.port"]
    assert [need.key for need in needed(Config(web=Web(port=9)), with_twin=True)] == [
        "web.port",
        "postgres.port",
        "bus.port",
        "telemetry.port",
        "twin.control_port",
        "twin.meter_port",
        "pool.port",
        "pool.v2_port",
        "pool.regtest_port",
    ]
    with_nodes = Config(pool=Pool(nodes=("http://node:8332",)))
    assert "pool.regtest_port" not in [need.key for need in needed(with_nodes, with_twin=False)]
