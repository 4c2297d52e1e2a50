"""Share logs of another machine: every batch arrives once, at its place, whatever is cut off or sent twice."""

import asyncio
import os
import random
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mbongi.core.bus.client import Bus, bus_token
from mbongi.pool.daemon import shipping
from mbongi.pool.daemon.share_log import HEAD, MAGIC, SHARES, ShareLog, files_of, shard_folder
from mbongi.pool.daemon.shipping import Receiver, Shipper
from mbongi.pool.errors import ShippingError
from tests.core.data_plane import DataPlane

KEEP_S = 3600.0


def write(log: ShareLog, batches: int, *, seed: int = 1) -> None:
    """Batches of made-up shares, each of its own bytes."""
    source = random.Random(seed)
    for _ in range(batches):
        log.append([source.randbytes(100) for _ in range(3)], {log.worker(f"acct.{source.randrange(5)}")})


def contents(root: Path, shard: int) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in files_of(shard_folder(root, shard))}


def piece(shard: int, number: int, offset: int, data: bytes, *, before: tuple[int, int] = (0, 0)) -> bytes:
    return bytes([shard]) + b"".join(each.to_bytes(8, "little") for each in (number, offset, *before)) + data


def batch(body: bytes) -> bytes:
    return HEAD.pack(MAGIC, SHARES, len(body), zlib.crc32(body)) + body


class Wire:
    """Stands for the bus: keeps what is published, and may lose the answer or refuse."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.ids: list[str] = []

    async def publish(self, subject: str, data: bytes, *, message_id: str, limit_s: float) -> None:
        assert subject == "share.7"
        self.sent.append(data)
        self.ids.append(message_id)


async def ship_all(root: Path, wire: Wire) -> None:
    shipper = Shipper(root, 7, keep_s=KEEP_S)
    while await shipper.ship(wire):  # type: ignore[arg-type]
        pass


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "PIECE_BYTES_MAX", 1_000)


@pytest.mark.usefixtures("small_pieces")
async def test_files_arrive_byte_for_byte_however_often_sender_and_receiver_start_anew(tmp_path: Path) -> None:
    there, here, wire = tmp_path / "there", tmp_path / "here", Wire()
    for round_ in range(3):
        log = ShareLog(shard_folder(there, 7))
        write(log, 20, seed=round_)
        await ship_all(there, wire)
        write(log, 5, seed=10 + round_)
        log.close()
    await ship_all(there, wire)
    for each in wire.sent:
        for _ in range(2):  # the bus may deliver twice
            Receiver(here, own_shards=frozenset()).write(each)

    assert len(files_of(shard_folder(there, 7))) == 3
    assert contents(here, 7) == contents(there, 7)
    assert len(set(wire.ids)) == len(wire.ids)
    assert len(wire.sent) > 10


@pytest.mark.usefixtures("small_pieces")
async def test_a_lost_position_only_means_sending_again_what_is_known(tmp_path: Path) -> None:
    there, here, wire = tmp_path / "there", tmp_path / "here", Wire()
    log = ShareLog(shard_folder(there, 7))
    write(log, 10)
    await ship_all(there, wire)
    (shard_folder(there, 7) / "shipped").write_text("nonsense")
    write(log, 10, seed=2)
    log.close()
    await ship_all(there, wire)
    receiver = Receiver(here, own_shards=frozenset())
    written = [receiver.write(each) for each in wire.sent]

    assert contents(here, 7) == contents(there, 7)
    assert False in written


async def test_a_file_stays_until_it_was_sent_whole_and_is_old(tmp_path: Path) -> None:
    wire = Wire()
    for seed in range(3):
        log = ShareLog(shard_folder(tmp_path, 7))
        write(log, 2, seed=seed)
        log.close()
    old, young, newest = files_of(shard_folder(tmp_path, 7))
    os.utime(old, (0, 0))
    os.utime(newest, (0, 0))
    there = [path.exists() for path in (old, young, newest)]
    await ship_all(tmp_path, wire)

    assert there == [True, True, True]
    assert files_of(shard_folder(tmp_path, 7)) == [young, newest], "the newest may still be written to"


async def test_a_batch_that_is_being_written_waits_until_it_is_whole(tmp_path: Path) -> None:
    wire = Wire()
    log = ShareLog(shard_folder(tmp_path, 7))
    write(log, 2)
    [path] = files_of(shard_folder(tmp_path, 7))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    await ship_all(tmp_path, wire)
    before = len(wire.sent[0])
    path.write_bytes(whole)
    await ship_all(tmp_path, wire)
    log.close()

    assert before < len(whole)
    assert b"".join(each[33:] for each in wire.sent) == whole


def test_what_a_killed_receiver_wrote_of_a_piece_is_completed(tmp_path: Path) -> None:
    folder = shard_folder(tmp_path, 7)
    folder.mkdir(parents=True)
    first, second = batch(b"a" * 100), batch(b"b" * 100)
    (folder / "000000000001.shares").write_bytes(first + second[:50])

    assert Receiver(tmp_path, own_shards=frozenset()).write(piece(7, 1, len(first), second))
    assert contents(tmp_path, 7) == {"000000000001.shares": first + second}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "at least"),
        (b"\x07" + bytes(32), "whole batches"),
        (piece(7, 1, 0, b"nonsense"), "whole batches"),
        (piece(7, 1, 0, batch(b"x") + b"y"), "whole batches"),
        (piece(7, 1, 10, batch(b"x")), "0 bytes are there"),
        (piece(7, 2, 0, batch(b"x"), before=(1, 100)), "0 bytes are there"),
        (piece(0, 1, 0, batch(b"x")), "own"),
    ],
)
def test_what_is_not_the_next_part_of_a_log_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(ShippingError, match=why):
        Receiver(tmp_path, own_shards=frozenset({0})).write(data)


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[DataPlane]:
    (tmp_path / "bus").mkdir()
    with DataPlane(tmp_path / "bus", processes=("bus",)) as made:
        yield made


@pytest.mark.system
async def test_over_an_outage_of_the_bus_and_a_death_of_the_receiver_everything_arrives_once(
    tmp_path: Path, plane: DataPlane
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    log = ShareLog(shard_folder(there, 7))

    async def connect() -> Bus:
        bus = await Bus.connect(plane.config.bus_url, name="test", token=bus_token(plane.config))
        await bus.ensure_streams(plane.config)
        return bus

    def begin(bus: Bus) -> asyncio.Task[None]:
        return asyncio.create_task(Receiver(here, own_shards=frozenset({0})).run(bus))

    sending, receiving, more = await connect(), await connect(), await connect()
    shipper = asyncio.create_task(Shipper(there, 7, keep_s=KEEP_S).run(sending))
    receiver = begin(receiving)
    for round_ in range(6):
        write(log, 30, seed=round_)
        if round_ == 1:
            receiver.cancel()
            await asyncio.gather(receiver, return_exceptions=True)
        if round_ == 2:
            plane.kill("bus")
        if round_ == 4:
            await asyncio.to_thread(plane.start, "bus")
            receiver = begin(more)
        await asyncio.sleep(0.3)
    async with asyncio.timeout(60):
        while contents(here, 7) != contents(there, 7):
            assert not receiver.done(), receiver.result()
            await asyncio.sleep(0.1)
    for task in (shipper, receiver):
        task.cancel()
    await asyncio.gather(shipper, receiver, return_exceptions=True)
    for bus in (sending, receiving, more):
        await bus.close()
    log.close()

    assert (shard_folder(there, 7) / "shipped").stat().st_size > 0


@pytest.mark.system
@pytest.mark.usefixtures("small_pieces")
async def test_what_the_bus_lost_is_sent_anew(tmp_path: Path, plane: DataPlane) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    bus = await Bus.connect(plane.config.bus_url, name="test", token=bus_token(plane.config))
    await bus.ensure_streams(plane.config)
    first, shipper = ShareLog(shard_folder(there, 7)), Shipper(there, 7, keep_s=KEEP_S)
    write(first, 20)
    first.close()
    while await shipper.ship(bus):
        pass
    await bus.js.purge_stream("SHARES")  # acknowledged, and lost with the bus's disk
    second = ShareLog(shard_folder(there, 7))
    write(second, 20, seed=2)
    tasks = [asyncio.create_task(each) for each in (shipper.run(bus), Receiver(here, own_shards=frozenset()).run(bus))]
    async with asyncio.timeout(60):
        while contents(here, 7) != contents(there, 7):  # noqa: ASYNC110 -- other tasks' state
            await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await bus.close()
    second.close()

    assert len(contents(here, 7)) == 2
