"""Images of virtual machines: what a machine refuses, and what a good and a bad one do to it."""

import pytest

from mbongi.fleet.values import Family
from mbongi.twin.flash import FLASH_S, IMAGE_BYTES_MAX, Incoming, form_parts
from mbongi.twin.images import MAGIC, BadImageError, Effects, build, read
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.models import model_of
from mbongi.twin.values import Fault, Phase

S21 = model_of(Family.ANTMINER)
VERSION = "FR-2.0(260101-S21)"


class Clock:
    def __init__(self) -> None:
        self.now = 1_780_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def machine(clock: Clock) -> VirtualMachine:
    return VirtualMachine(address="127.20.1.1", model=S21, rack=1, slot=1, seed=1, clock=clock)


def flash(machine: VirtualMachine, clock: Clock, effects: Effects, *, run_s: float = 3600.0) -> None:
    """Flash an image and let the machine run."""
    machine.slots.begin(machine, build("antminer", VERSION, effects=effects, size_bytes=1000))
    clock.now += FLASH_S + S21.boot_s + S21.restart_s + S21.warm_up_s + run_s
    machine.advance()


def test_an_image_says_what_it_is_for_and_what_it_does() -> None:
    effects = Effects(hashrate_factor=0.8)
    data = build("antminer", VERSION, models=("Antminer S21",), effects=effects, size_bytes=2000)

    image = read(data, family="antminer", model="Antminer S21")

    assert (image.version, image.effects, data[: len(MAGIC)]) == (VERSION, effects, b"MBONGI-VIRTUAL-IMAGE 1\n")
    assert data == build("antminer", VERSION, models=("Antminer S21",), effects=effects, size_bytes=2000)


GOOD = build("antminer", VERSION, models=("Antminer S21",), size_bytes=2000)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no image"),
        (b"PK\3\4" + GOOD, "no image"),
        (GOOD[:40], "cut off in its head"),
        (GOOD[:-1], "cut off or damaged"),
        (GOOD[:-1] + b"?", "cut off or damaged"),
        (MAGIC + b"{}\n", "head cannot be read"),
        (build("whatsminer", VERSION), "made for whatsminer"),
        (build("antminer", VERSION, models=("Antminer S19",)), "made for Antminer S19"),
    ],
)
def test_a_machine_refuses_what_is_not_whole_or_not_for_it(machine: VirtualMachine, data: bytes, words: str) -> None:
    with pytest.raises(BadImageError, match=words):
        machine.slots.begin(machine, data)
    assert machine.slots.pending is None


def test_a_good_image_is_written_then_booted_and_stated(machine: VirtualMachine, clock: Clock) -> None:
    machine.slots.begin(machine, GOOD)
    with pytest.raises(BadImageError, match="busy"):
        machine.slots.begin(machine, GOOD)
    clock.now += FLASH_S - 1
    machine.advance()
    assert (machine.phase, machine.slots.version("old")) == (Phase.MINING, "old")

    clock.now += 2
    machine.advance()

    assert (machine.phase, machine.slots.version("old"), machine.slots.flashes) == (Phase.BOOTING, VERSION, 1)
    clock.now += 7200
    machine.advance()
    assert machine.phase is Phase.MINING
    assert machine.rate_ths == pytest.approx(S21.hashrate_ths, rel=0.06)


def test_a_bad_image_is_slower_for_what_it_draws(machine: VirtualMachine, clock: Clock) -> None:
    clock.now += 60
    machine.advance()
    before_jth = machine.power_w / machine.average_ths
    flash(machine, clock, Effects(hashrate_factor=0.8, power_factor=0.9), run_s=20_000)

    fraction = machine.average_ths / S21.hashrate_ths
    assert fraction == pytest.approx(0.8, rel=0.04)
    # By hand: 0.9 / 0.8 = 1.125 on the boards, which draw nearly all; idle and fans do not follow.
    assert machine.power_w / (S21.hashrate_ths * 0.8) / before_jth == pytest.approx(1.125, rel=0.05)


def test_a_bad_image_has_shares_refused(machine: VirtualMachine, clock: Clock) -> None:
    flash(machine, clock, Effects(reject_share=0.2), run_s=20_000)
    assert machine.rejected / (machine.rejected + machine.accepted) == pytest.approx(0.2, abs=0.05)


def test_an_image_that_does_not_boot_leaves_a_dark_machine_until_it_is_written_by_cable(
    machine: VirtualMachine, clock: Clock
) -> None:
    flash(machine, clock, Effects(boots=False))
    assert (machine.phase, machine.answers, machine.power_w) == (Phase.OFF, False, 0.0)
    machine.set_fault(Fault.OFF)
    machine.set_fault(Fault.NONE)
    assert machine.phase is Phase.OFF

    machine.slots.reflash()
    machine.set_fault(Fault.OFF)
    machine.set_fault(Fault.NONE)
    assert machine.phase is Phase.BOOTING


def test_a_machine_without_power_while_it_is_flashed_does_not_boot(machine: VirtualMachine, clock: Clock) -> None:
    machine.slots.begin(machine, GOOD)
    clock.now += 5
    machine.set_fault(Fault.OFF)
    machine.set_fault(Fault.NONE)
    assert (machine.phase, machine.slots.is_bricked) == (Phase.OFF, True)


def test_an_image_reboots_hijacks_and_wipes(machine: VirtualMachine, clock: Clock) -> None:
    delivered = machine.pools
    machine.apply(pools=())
    flash(machine, clock, Effects(wipes_settings=True))
    assert machine.pools == delivered

    flash(machine, clock, Effects(hijack_url="stratum+tcp://thief.example:1", hijack_user="t.1"))
    assert (machine.pools[0].url, machine.pools[1:]) == ("stratum+tcp://thief.example:1", delivered[1:])

    flash(machine, clock, Effects(reboot_every_s=300.0), run_s=2000.0)
    assert machine.at - machine.booted_at < 300.0 + S21.boot_s + S21.restart_s + S21.warm_up_s


def test_an_image_on_a_raw_connection_is_its_size_and_its_bytes_however_they_come() -> None:
    incoming = Incoming()
    assert [incoming.feed(part) for part in (b"\x05\x00", b"\x00\x00ab", b"cde")] == [None, None, b"abcde"]
    with pytest.raises(BadImageError, match="at most"):
        Incoming().feed((IMAGE_BYTES_MAX + 1).to_bytes(4, "little"))


def test_a_form_is_taken_apart_and_one_that_is_cut_off_is_none() -> None:
    # The example of RFC 7578 in shape: two fields, each with its disposition.
    body = (
        b'--AaB03x\r\nContent-Disposition: form-data; name="keep"\r\n\r\ntrue\r\n'
        b'--AaB03x\r\nContent-Disposition: form-data; name="file"; filename="i.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n\0\r\n\r\n\1\r\n--AaB03x--\r\n"
    )
    kind = "multipart/form-data; boundary=AaB03x"
    assert form_parts(kind, body) == {"keep": b"true", "file": b"\0\r\n\r\n\1"}
    assert form_parts(kind, body[:-12]) == form_parts("application/json", body) == {}


def test_the_fans_of_a_machine_with_a_hotter_image_turn_faster(machine: VirtualMachine, clock: Clock) -> None:
    clock.now += 60
    machine.advance()
    before = machine.duty
    flash(machine, clock, Effects(temp_offset_k=5.0), run_s=5000.0)
    assert machine.duty > before
