"""``mbongi twin`` as a process: starts, is ready, takes faults, says what is wrong in one line, stops on SIGTERM."""

import asyncio
import dataclasses
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mbongi.base.config import Config, Twin, as_environment
from mbongi.run.twin import ready
from tests.embedded import free_ports
from tests.twin.peers import NETWORK, twin_ports

SOURCE = Path(__file__).parents[2] / "src"
PROGRAM = (
    "import argparse, sys; from mbongi.base.config import load_config; from mbongi.run import twin;"
    "parser = argparse.ArgumentParser(); twin.add_arguments(parser);"
    "sys.exit(twin.main(load_config(), parser.parse_args()))"
)
WAIT_S = 20.0


def configured() -> Config:
    return Config(twin=Twin(machines=3, per_rack=1, network=NETWORK, **twin_ports()))


async def started(config: Config, *arguments: str) -> asyncio.subprocess.Process:
    environment = {**os.environ, **as_environment(config), "PYTHONPATH": str(SOURCE)}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def finished(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    async with asyncio.timeout(WAIT_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def running(config: Config, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await started(config, *arguments)
    try:
        for _ in range(400):
            if await ready(config):
                break
            await asyncio.sleep(0.05)
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await finished(process)


async def test_it_becomes_ready_takes_faults_and_stops_cleanly() -> None:
    config = configured()
    assert not await ready(config)
    async with running(config) as process:
        assert await ready(config)
        code, out, _ = await finished(await started(config, "--fault", "127.24.1.1=off"))
        assert (code, out) == (0, "127.24.1.1: fault off, off\n")
        code, _, err = await finished(await started(config, "--fault", "127.24.9.9=off"))
        assert code == 1
        assert err.startswith("mbongi twin: 127.24.9.9: no virtual machine has this address")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WAIT_S):
            assert await process.wait() == 0


async def test_a_fault_given_at_the_start_is_in_force() -> None:
    config = configured()
    async with running(config, "--fault", "127.24.2.1=off"):
        try:
            _, writer = await asyncio.open_connection("127.24.2.1", config.twin.rpc_port)
        except ConnectionRefusedError:
            return
        writer.close()
    raise AssertionError("the machine that should be off accepted a connection")


async def test_a_fault_of_the_plant_is_in_force_from_the_start_and_mended_while_it_runs() -> None:
    ports = twin_ports()
    ports["plant_port"] = min(free_ports(1)[0], 65_000)
    config = Config(twin=Twin(machines=3, per_rack=3, network="127.25.0.0/16", **ports))
    async with running(config, "--plant-fault", "FEED-1=outage"):
        assert await ready(config)
        code, _, err = await finished(await started(config, "--plant-fault", "FEED-1=rain"))
        assert (code, err) == (1, "mbongi twin: FEED-1: fault 'rain': expected one of none, outage, sag\n")
        code, out, _ = await finished(await started(config, "--plant-fault", "FEED-1=none"))
        assert (code, out) == (0, "FEED-1: fault none, live\n")
        code, out, _ = await finished(await started(config, "--plant-fault", "TR-1=hot"))
        assert (code, out) == (0, "TR-1: fault hot\n")


async def test_a_busy_control_port_a_wrong_network_and_a_wrong_word_are_one_line_each() -> None:
    config = configured()
    async with running(config):
        other = dataclasses.replace(config.twin, **(twin_ports() | {"control_port": config.twin.control_port}))
        code, _, err = await finished(await started(Config(twin=other)))
        assert (code, err.count("\n")) == (1, 1)
        assert "already in use" in err
    code, _, err = await finished(await started(config, "--network", "10.0.0.0/16"))
    assert (code, err.count("\n")) == (1, 1)
    code, _, err = await finished(await started(config, "--fault", "127.24.1.1=sick"))
    assert (code, err.count("\n")) == (1, 1)
    assert "expected one of none, off, hung" in err
