"""Flashing each family's virtual machine over its own road: taken, refused, not back, robbed, and never twice."""

import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mbongi.fleet.adapters import upgrading
from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.control import execute, scorecards
from mbongi.fleet.device_errors import ImageBrokenError, RejectedError
from mbongi.fleet.image_file import PIECE_BYTES, ImageFile
from mbongi.fleet.reading import Target
from mbongi.fleet.values import ActionKind, Family
from mbongi.twin.images import Effects, build
from mbongi.twin.site import VirtualSite
from tests.fleet.beds import fleet_of, targets_of, virtual_site

NETWORK = "127.24.0.0/16"
FAMILIES = (
    *(Family.ANTMINER, Family.WHATSMINER, Family.BITAXE, Family.WHATSMINER_V3, Family.VNISH, Family.BRAIINS),
    *(Family.AVALON, Family.LUXOS),
)
ABLE = FAMILIES[:6]
NEW = "99.1-test"
NEUTRAL = Effects()


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrading, "PAUSE_S", 0.1)


@pytest.fixture
async def site() -> AsyncIterator[VirtualSite]:
    """One machine of each family, a hundred times as fast as the world."""
    async with virtual_site(NETWORK, machines=len(FAMILIES), families=FAMILIES, time_scale=100.0) as made:
        yield made


def stored(folder: Path, data: bytes, *, version: str = NEW, back_s: float = 30.0) -> dict[str, Any]:
    """The arguments of an upgrade with an image that lies in the data folder."""
    digest = hashlib.sha256(data).hexdigest()
    (folder / "firmware").mkdir(exist_ok=True)
    (folder / "firmware" / digest).write_bytes(data)
    return {"image": digest, "version": version, "size_bytes": len(data), "back_s": back_s}


def target(site: VirtualSite, family: Family) -> Target:
    return next(target for target in targets_of(site) if target.family is family)


@pytest.mark.parametrize("family", ABLE)
async def test_an_image_is_rehearsed_sent_whole_and_the_machine_is_seen_back_with_it(
    site: VirtualSite, tmp_path: Path, family: Family
) -> None:
    config, one = fleet_of(site.config), target(site, family)
    machine = site.machine(one.address)
    given = stored(tmp_path, build(family, NEW, size_bytes=700_000))

    plan = await execute(config, one, ActionKind.UPGRADE, given, dry_run=True, data_dir=tmp_path)
    assert (plan.verified, machine.slots.pending, machine.slots.flashes) == (None, None, 0)

    done = await execute(config, one, ActionKind.UPGRADE, given, data_dir=tmp_path)

    assert done.verified, done.message
    assert done.after["firmware"].endswith(NEW)
    assert done.after["pools"] == done.before["pools"]
    assert done.before["firmware"] != NEW
    assert len(done.before["pools"]) >= 1
    again = await execute(config, one, ActionKind.UPGRADE, given, data_dir=tmp_path)
    assert "already" in again.message
    assert machine.slots.flashes == 1


@pytest.mark.parametrize("family", ABLE)
async def test_an_image_for_another_family_is_refused_in_the_machines_words(
    site: VirtualSite, tmp_path: Path, family: Family
) -> None:
    one = target(site, family)
    given = stored(tmp_path, build("someone", NEW, size_bytes=300_000))
    with pytest.raises(RejectedError, match="made for someone"):
        await execute(fleet_of(site.config), one, ActionKind.UPGRADE, given, data_dir=tmp_path)
    assert site.machine(one.address).slots.pending is None


@pytest.mark.parametrize("family", FAMILIES)
async def test_what_a_family_can_be_told_is_what_its_scorecard_says(family: Family) -> None:
    [line] = [each for each in scorecards()[family] if each.feature == "flash a firmware image"]
    assert (line.status == "done") is adapter_of(family).abilities.upgrade is (family in ABLE)


@pytest.mark.parametrize("family", [Family.AVALON, Family.LUXOS])
async def test_a_family_that_takes_no_images_is_sent_none(site: VirtualSite, tmp_path: Path, family: Family) -> None:
    given = stored(tmp_path, build(family, NEW))
    with pytest.raises(RejectedError, match="sent no images"):
        await execute(fleet_of(site.config), target(site, family), ActionKind.UPGRADE, given, data_dir=tmp_path)


@pytest.mark.parametrize(
    ("effects", "words"),
    [
        (Effects(boots=False), "not back within"),
        (Effects(hijack_url="stratum+tcp://thief.example:1", hijack_user="t.1"), "pools have changed: .*thief"),
    ],
)
async def test_a_machine_that_stays_away_or_comes_back_with_other_pools_is_not_done(
    site: VirtualSite, tmp_path: Path, effects: Effects, words: str
) -> None:
    given = stored(tmp_path, build(Family.ANTMINER, NEW, effects=effects), back_s=6.0)
    outcome = await execute(
        fleet_of(site.config), target(site, Family.ANTMINER), ActionKind.UPGRADE, given, data_dir=tmp_path
    )
    assert outcome.verified is False
    assert re.search(words, outcome.message)


async def test_a_sleeping_machine_is_not_flashed(site: VirtualSite, tmp_path: Path) -> None:
    one = target(site, Family.ANTMINER)
    site.machine(one.address).sleep()
    with pytest.raises(RejectedError, match="sleeps"):
        await execute(
            fleet_of(site.config), one, ActionKind.UPGRADE, stored(tmp_path, build(one.family, NEW)), data_dir=tmp_path
        )


@pytest.mark.parametrize("family", ABLE)
async def test_an_image_that_is_another_on_disk_than_was_stored_reaches_no_machine(
    site: VirtualSite, tmp_path: Path, family: Family
) -> None:
    data = build(family, NEW, size_bytes=PIECE_BYTES * 2)
    given = stored(tmp_path, data)
    path = tmp_path / "firmware" / given["image"]
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    one = target(site, family)

    with pytest.raises(ImageBrokenError, match="not the one that was stored"):
        await execute(fleet_of(site.config), one, ActionKind.UPGRADE, given, data_dir=tmp_path)

    assert site.machine(one.address).slots.pending is None
    path.unlink()
    with pytest.raises(ImageBrokenError, match="cannot be read"):
        await execute(fleet_of(site.config), one, ActionKind.UPGRADE, given, data_dir=tmp_path)


async def test_pieces_of_an_image_hold_it_back_until_all_of_it_is_known_to_be_right(tmp_path: Path) -> None:
    data = bytes(PIECE_BYTES) + b"end"
    path = tmp_path / "image"
    path.write_bytes(data)
    right = ImageFile(path, hashlib.sha256(data).hexdigest(), len(data), NEW)
    assert [len(piece) async for piece in right.pieces()] == [PIECE_BYTES, 3]

    pieces = ImageFile(path, "0" * 64, len(data), NEW).pieces()
    assert len(await anext(pieces)) == PIECE_BYTES
    with pytest.raises(ImageBrokenError):
        await anext(pieces)
