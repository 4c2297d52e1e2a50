"""What can be made to go wrong with the virtual plant: words by kind of element, as data. Pure.

Every device that answers on the network can also be ``silent`` (it answers nothing) or ``frozen`` (always the same).
"""

from collections.abc import Mapping
from typing import Protocol

from mbongi.twin.errors import TwinError, UnknownAddressError, UnknownFaultError
from mbongi.twin.plant.genset import Genset
from mbongi.twin.plant.model import PlantModel
from mbongi.twin.plant.values import Element, Kind

NONE, SILENT, FROZEN = "none", "silent", "frozen"


class Effect(Protocol):
    """Makes it so for the element with a tag, or mends it."""

    def __call__(self, model: PlantModel, tag: str, /, *, on: bool) -> None:
        """Do it."""


def _number(tag: str) -> int:
    return int(tag.rpartition("-")[2]) - 1


def _feed(model: PlantModel, volts: float, *, on: bool) -> None:
    model.grid_v = volts if on else 230.0


def _trip(model: PlantModel, tag: str, *, on: bool) -> None:
    breaker = model.breakers[tag]
    if on:
        breaker.trip()
    else:
        breaker.heat = 0.0
        breaker.switch(closed=True)


def _starts(model: PlantModel, tag: str, chance: float, *, on: bool) -> None:
    genset = model.gensets[tag]
    genset.start_fails_p = chance if on else 0.0
    if not on:
        genset.reset()


def _stopped(genset: Genset, *, on: bool) -> None:
    genset.mode = "stop" if on else "auto"


def _transformer(model: PlantModel, *, on: bool) -> None:
    model.transformer_failed = on


def _hot(model: PlantModel, *, on: bool) -> None:
    model.transformer.cooling_factor = 1.8 if on else 1.0


def _stuck(model: PlantModel, *, on: bool) -> None:
    model.changeover.is_stuck = on


def _fuel(model: PlantModel, *, on: bool) -> None:
    model.fuel.leak_l_s = 0.05 if on else 0.0


def _empty(model: PlantModel, *, on: bool) -> None:
    model.fuel.level_l = 0.0 if on else 0.9 * model.fuel.capacity_l


def _ups(model: PlantModel, tag: str, *, on: bool) -> None:
    model.upses[tag].is_failed = on


def _battery(model: PlantModel, tag: str, *, on: bool) -> None:
    model.upses[f"UPS-{_number(tag) + 1}"].capacity = 0.1 if on else 1.0


def _pdu(model: PlantModel, tag: str, *, on: bool) -> None:
    side = tag.rpartition("-")[2]
    if side in model.servers.failed:
        model.servers.failed[side] = on
    else:
        model.racks[int(side[1:]) - 1].is_failed = on


def _wall(model: PlantModel, tag: str, *, on: bool) -> None:
    model.hall.walls[_number(tag)] = not on


def _pump(model: PlantModel, tag: str, *, on: bool) -> None:
    if tag == "PUMP-1":
        model.hall.pump_works = not on
    else:
        model.loop.pump_works = not on


def _pad(model: PlantModel, *, on: bool) -> None:
    model.hall.pad_share = 0.4 if on else 1.0


def _water(model: PlantModel, *, on: bool) -> None:
    model.water.has_supply = not on


def _leak(model: PlantModel, *, on: bool) -> None:
    model.water.leak_l_s = model.water.capacity_l / 600.0 if on else 0.0


def _cooler(model: PlantModel, *, on: bool) -> None:
    model.loop.cooler_works = not on


def _panels(model: PlantModel, *, on: bool) -> None:
    model.panels_failed = on


def _server(model: PlantModel, tag: str, *, on: bool) -> None:
    model.servers.servers[_number(tag)].is_on = not on


FAULTS: Mapping[Kind, Mapping[str, Effect]] = {
    Kind.UTILITY_FEED: {
        "outage": lambda model, _, *, on: _feed(model, 0.0, on=on),
        "sag": lambda model, _, *, on: _feed(model, 180.0, on=on),
    },
    Kind.TRANSFORMER: {
        "failed": lambda model, _, *, on: _transformer(model, on=on),
        "hot": lambda model, _, *, on: _hot(model, on=on),
    },
    Kind.BREAKER: {"tripped": _trip},
    Kind.GENSET: {
        "no_start": lambda model, tag, *, on: _starts(model, tag, 1.0, on=on),
        "hard_start": lambda model, tag, *, on: _starts(model, tag, 0.5, on=on),
        "stopped": lambda model, tag, *, on: _stopped(model.gensets[tag], on=on),
    },
    Kind.FUEL_TANK: {
        "leak": lambda model, _, *, on: _fuel(model, on=on),
        "empty": lambda model, _, *, on: _empty(model, on=on),
    },
    Kind.UPS: {"failed": _ups},
    Kind.BATTERY: {"weak": _battery},
    Kind.PDU: {"failed": _pdu},
    Kind.FAN_WALL: {"failed": _wall},
    Kind.PUMP: {"failed": _pump},
    Kind.PAD: {"clogged": lambda model, _, *, on: _pad(model, on=on)},
    Kind.WATER_TANK: {
        "no_supply": lambda model, _, *, on: _water(model, on=on),
        "leak": lambda model, _, *, on: _leak(model, on=on),
    },
    Kind.DRY_COOLER: {"failed": lambda model, _, *, on: _cooler(model, on=on)},
    Kind.PV: {"failed": lambda model, _, *, on: _panels(model, on=on)},
    Kind.SERVER: {"off": _server},
}
CHANGEOVER: Mapping[str, Effect] = {"stuck": lambda model, _, *, on: _stuck(model, on=on)}
"""Of ATS-1; other boards have no fault of their own."""


def _effects(element: Element) -> Mapping[str, Effect]:
    return CHANGEOVER if element.tag == "ATS-1" else FAULTS.get(element.kind, {})


def _element(model: PlantModel, tag: str) -> Element:
    element = next((each for each in model.design.elements if each.tag == tag), None)
    if element is None:
        raise UnknownAddressError(f"{tag}: no element of the virtual plant has this tag; see GET /plant/document")
    return element


def words_for(model: PlantModel, tag: str) -> list[str]:
    """The faults that an element can have, ``none`` first. Raises UnknownAddressError."""
    element = _element(model, tag)
    answers = element.kind is Kind.SENSOR or any(device.tag == tag for device in model.design.devices)
    return [NONE, *_effects(element), *([SILENT, FROZEN] if answers else [])]


def set_fault(model: PlantModel, tag: str, word: str) -> None:
    """Make something go wrong with an element, or mend it with ``none``.

    Raises UnknownAddressError, UnknownFaultError.
    """
    known = words_for(model, tag)
    if word not in known:
        raise UnknownFaultError(f"{tag}: fault {word!r}: expected one of {', '.join(known)}")
    effects = _effects(_element(model, tag))
    before = model.faults.pop(tag, NONE)
    if before in effects:
        effects[before](model, tag, on=False)
    model.held.pop(tag, None)
    if word == NONE:
        return
    model.faults[tag] = word
    if word in effects:
        effects[word](model, tag, on=True)


def switch(model: PlantModel, tag: str, *, closed: bool) -> None:
    """Open or close a breaker by hand. Raises TwinError where it does not latch, UnknownAddressError."""
    if tag not in model.breakers:
        raise UnknownAddressError(f"{tag}: no breaker has this tag; expected one of {', '.join(model.breakers)}")
    if tag == "Q-M":
        model.feeder_held = not closed
    if not model.breakers[tag].switch(closed=closed):
        raise TwinError(f"{tag}: close: still hot from its trip; wait some minutes")
