"""What virtual machines take of a write that goes wrong, how they answer, and what drills see of it."""

import asyncio
import hashlib
from typing import Any

import httpx
import pytest

from mbongi.fleet.values import Family
from mbongi.twin import images
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.models import model_of
from mbongi.twin.settings import Aftermath
from mbongi.twin.site import VirtualSite
from mbongi.twin.values import MachineSettings, Phase, PoolEntry
from mbongi.twin.write_faults import LATE_S, REVERTS_S, Answer, Part, Taken, WriteFault, half_of, taken
from tests.twin.peers import HandClock, one, running_site, web

OLD = tuple(PoolEntry(f"stratum+tcp://old{number}", "u", "p") for number in (1, 2, 3))
NEW = tuple(PoolEntry(f"stratum+tcp://new{number}", "u", "p") for number in (1, 2, 3))
EMPTY = PoolEntry()
BEFORE = MachineSettings(pools=OLD, power_limit_w=3000.0, password="kept", hostname="a")
DELIVERED = MachineSettings(pools=OLD, power_limit_w=3000.0, password="root")
WISH = {"pools": NEW, "hostname": "b"}


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (WriteFault.NONE, Taken((Part(WISH),))),
        (WriteFault.LIES, Taken()),
        (WriteFault.REFUSES, Taken(answer=Answer.REFUSED)),
        (WriteFault.HANGS_BEFORE, Taken(answer=Answer.NOTHING)),
        (WriteFault.HANGS_AFTER, Taken((Part(WISH),), Answer.NOTHING)),
        (WriteFault.HALF, Taken((Part({"pools": (NEW[0], EMPTY, EMPTY)}),))),
        (
            WriteFault.REVERTS,
            Taken((Part(WISH), Part({"pools": OLD, "hostname": "a"}, REVERTS_S, is_undo=True))),
        ),
        (WriteFault.LATE, Taken((Part(WISH, LATE_S),))),
        (
            WriteFault.WIPES,
            Taken((Part({"pools": (NEW[0], EMPTY, EMPTY), "hostname": "b", "password": "root"}),)),
        ),
        (WriteFault.REBOOTS, Taken((Part(WISH),), Answer.NOTHING, reboots=True)),
    ],
)
def test_what_a_machine_with_each_fault_takes_of_a_write(fault: WriteFault, expected: Taken) -> None:
    assert taken(fault, WISH, before=BEFORE, delivered=DELIVERED) == expected


@pytest.mark.parametrize(
    ("wanted", "half"),
    [
        ({"pools": NEW}, {"pools": (NEW[0], EMPTY, EMPTY)}),
        ({"pools": NEW, "power_mode": "low"}, {"power_mode": "low"}),
        ({"pools": OLD, "power_mode": "low"}, {"power_mode": "low"}),
        ({"power_limit_w": 2500.0, "hostname": "b"}, {"hostname": "b"}),
        ({"hostname": "a", "password": "new"}, {"password": "new"}),
        ({"hostname": "a"}, {}),
        ({}, {}),
    ],
)
def test_half_of_a_write_is_the_first_pool_or_the_power_or_the_first_setting_that_changes(
    wanted: dict[str, Any], half: dict[str, Any]
) -> None:
    assert half_of(wanted, before=BEFORE) == half


def test_a_setting_that_a_machine_does_not_have_is_an_error_and_changes_nothing() -> None:
    with pytest.raises(KeyError, match="colour"):
        BEFORE.changed(colour="red")


# Of one machine.


def subject(clock: HandClock) -> VirtualMachine:
    found = VirtualMachine(address="127.24.1.1", model=model_of(Family.ANTMINER), rack=1, slot=1, seed=1, clock=clock)
    found.deliver(password="root", hostname="Antminer", colour="red")
    return found


def test_a_late_setting_is_in_force_after_its_seconds_and_not_before() -> None:
    clock = HandClock()
    machine = subject(clock)
    machine.set_write_fault(WriteFault.LATE)
    machine.change(asleep=True, restarts=True)
    clock.pass_s(LATE_S - 1)
    machine.advance()
    assert (machine.asleep, machine.phase) == (False, Phase.MINING)
    clock.pass_s(2)
    machine.advance()
    assert (machine.asleep, machine.phase) == (True, Phase.WARMING)


def test_what_is_taken_back_stands_for_a_while_first() -> None:
    clock = HandClock()
    machine = subject(clock)
    machine.set_write_fault(WriteFault.REVERTS)
    machine.change(pools=NEW, colour="blue")
    assert (machine.pools, machine.settings.of("colour")) == (NEW, "blue")
    before = machine.delivered.pools
    clock.pass_s(REVERTS_S + 1)
    machine.advance()
    assert (machine.pools, machine.settings.of("colour")) == (before, "red")


def test_a_fault_for_one_write_is_over_with_it() -> None:
    machine = subject(HandClock())
    machine.set_write_fault(WriteFault.LIES, times=1)
    machine.change(pools=NEW)
    assert machine.pools == machine.delivered.pools
    assert machine.write_fault is WriteFault.NONE
    machine.change(pools=NEW[:1])
    assert machine.pools == (NEW[0], EMPTY, EMPTY)
    assert machine.write_count == 2


def test_a_reboot_that_a_lying_machine_answers_never_comes() -> None:
    machine = subject(HandClock())
    machine.set_write_fault(WriteFault.LIES, times=1)
    machine.change(then=machine.reboot)
    assert machine.take_aftermath() == Aftermath()
    machine.change(then=machine.reboot)
    left = machine.take_aftermath()
    assert left == Aftermath(then=machine.reboot)
    assert machine.take_aftermath() == Aftermath()


def test_the_machines_own_doing_is_past_every_fault_and_in_no_record() -> None:
    machine = subject(HandClock())
    machine.set_write_fault(WriteFault.REFUSES)
    machine.apply(pools=NEW)
    assert (machine.pools, machine.write_count) == (NEW, 0)


def test_the_last_32_writes_are_kept_with_digests_in_place_of_passwords() -> None:
    machine = subject(HandClock())
    for number in range(40):
        machine.change(hostname=f"m{number}")
    machine.change(password="secret word", pools=NEW)
    assert (len(machine.writes), machine.write_count) == (32, 41)
    last = machine.writes[-1]
    digest = hashlib.sha256(b"secret word").hexdigest()[:8]
    assert (last.what, last.wanted["password"], last.answered) == ("password, pools", digest, Answer.DONE)
    assert last.wanted["pools"][0] == {
        "url": "stratum+tcp://new1",
        "user": "u",
        "password": hashlib.sha256(b"p").hexdigest()[:8],
    }
    assert "secret word" not in repr(machine.writes)


# Over the network.


async def restart(site: VirtualSite, address: str) -> httpx.Response:
    async with web(site, address) as client:
        return await client.post("/api/system/restart", timeout=0.4)


@pytest.mark.parametrize("fault", [WriteFault.HANGS_BEFORE, WriteFault.HANGS_AFTER])
async def test_a_write_without_an_answer_leaves_its_connection_open_and_others_answered(fault: WriteFault) -> None:
    async with running_site() as site:
        address = one(site, Family.BITAXE)
        machine = site.machine(address)
        machine.set_write_fault(fault, times=1)
        async with web(site, address) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.patch("/api/system", json={"hostname": "shelf"}, timeout=0.3)
            assert (await client.get("/api/system/info")).json()["hostname"] == machine.settings.hostname
    assert machine.settings.hostname == ("shelf" if fault is WriteFault.HANGS_AFTER else "bitaxe")


async def test_a_machine_that_reboots_in_the_midst_breaks_the_connection_and_has_the_setting() -> None:
    async with running_site(time_scale=300.0) as site:
        address = one(site, Family.BITAXE)
        machine = site.machine(address)
        machine.set_write_fault(WriteFault.REBOOTS, times=1)
        async with web(site, address) as client:
            with pytest.raises(httpx.TransportError):
                await client.patch("/api/system", json={"hostname": "shelf"})
        assert machine.settings.hostname == "shelf"
        for _ in range(500):
            if site.places[address].servers:
                break
            await asyncio.sleep(0.01)
        assert site.places[address].servers


async def test_a_late_reboot_is_made_although_nobody_looks() -> None:
    async with running_site(time_scale=60.0) as site:
        address = one(site, Family.BITAXE)
        site.machine(address).set_write_fault(WriteFault.LATE, times=1)
        booted_at = site.machine(address).booted_at
        assert (await restart(site, address)).status_code == 200
        for _ in range(500):
            if site.machine(address).booted_at != booted_at:
                break
            await asyncio.sleep(0.01)
        assert site.machine(address).booted_at != booted_at


# The control interface.


async def test_write_faults_are_set_seen_and_counted_by_the_control_interface() -> None:
    async with running_site(control=True) as site:
        address = one(site, Family.BITAXE)
        base = f"http://127.0.0.1:{site.config.control_port}"
        async with httpx.AsyncClient(base_url=base, trust_env=False) as control:
            assert (await control.get("/write-faults")).json() == [str(fault) for fault in WriteFault]
            body = {"fault": "lies", "times": 1}
            found = (await control.post(f"/machines/{address}/write-fault", json=body)).json()
            assert (found["write_fault"], found["writes"]) == ("lies", 0)
            async with web(site, address) as client:
                for name in ("first", "second"):
                    assert (await client.patch("/api/system", json={"hostname": name})).status_code == 200
            found = (await control.get(f"/machines/{address}")).json()
            assert (found["write_fault"], found["writes"]) == ("none", 2)
            assert found["settings"]["hostname"] == "second"
            writes = (await control.get(f"/machines/{address}/writes")).json()
            assert [(each["wanted"], each["taken"], each["answered"]) for each in writes] == [
                ({"hostname": "first"}, {}, "done"),
                ({"hostname": "second"}, {"hostname": "second"}, "done"),
            ]
            for wrong in ({"fault": "sick"}, {"fault": "lies", "times": 0}, {"fault": "lies", "times": "one"}):
                reply = await control.post(f"/machines/{address}/write-fault", json=wrong)
                assert (reply.status_code, "expected" in reply.json()["error"]) == (400, True)


async def test_shares_of_the_machines_get_faults_by_a_seed_and_none_gets_two() -> None:
    async with running_site(machines=20, per_rack=10, control=True) as site:
        base = f"http://127.0.0.1:{site.config.control_port}"
        async with httpx.AsyncClient(base_url=base, trust_env=False) as control:
            wish = {"share": {"hung": 0.1, "off": 0.2}, "write_share": {"lies": 0.5}, "times": 2, "seed": 7}
            found = (await control.post("/faults", json=wish)).json()
            again = (await control.post("/faults", json=wish)).json()
            machines = {each["address"]: each for each in (await control.get("/machines")).json()}
            wrong = await control.post("/faults", json={"share": {"hung": 0.9, "off": 0.2}})
    assert found == again
    assert {word: len(addresses) for word, addresses in found["faults"].items()} == {"hung": 2, "off": 4}
    assert {address for address, each in machines.items() if each["fault"] == "off"} == set(found["faults"]["off"])
    assert not set(found["faults"]["off"]) & set(found["faults"]["hung"])
    assert sum(each["write_fault"] == "lies" for each in machines.values()) == 10
    assert wrong.status_code == 400


async def test_an_image_goes_through_the_same_door() -> None:
    async with running_site() as site:
        machine = site.machine(one(site, Family.ANTMINER))
        data = images.build(family="antminer", version="FR-9.9(test)")
        machine.set_write_fault(WriteFault.LIES, times=1)
        machine.slots.begin(machine, data)
        assert machine.slots.pending is None
        machine.set_write_fault(WriteFault.REFUSES, times=1)
        with pytest.raises(images.BadImageError, match="refused"):
            machine.slots.begin(machine, data)
        machine.slots.begin(machine, data)
        assert machine.slots.pending is not None
        assert [write.answered for write in machine.writes] == [Answer.DONE, Answer.REFUSED, Answer.DONE]
