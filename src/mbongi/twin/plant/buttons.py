"""The plant's part of the control interface: what drills and tests read, and the buttons that they press."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mbongi.twin.errors import TwinError, UnknownAddressError
from mbongi.twin.plant import faults, points
from mbongi.twin.plant.running import Plant

if TYPE_CHECKING:
    from mbongi.twin.site import VirtualSite

FEED, OUTAGE = "FEED-1", "outage"
Document = dict[str, Any]


def routes(site: "VirtualSite") -> Mapping[tuple[str, str], Callable[[str, Document], object]]:
    """By method and path, as in ``Control.routes``."""
    return {
        ("GET", "plant"): lambda _, __: summary(plant_of(site)),
        ("GET", "plant/*"): lambda what, __: _read(plant_of(site), what),
        ("POST", "plant/*"): lambda button, __: _press(plant_of(site), button),
        ("POST", "plant/*/fault"): lambda tag, document: _set_fault(plant_of(site), tag, document),
        ("POST", "plant/*/switch"): lambda tag, document: _switch(plant_of(site), tag, document),
        ("POST", "plant/*/outlet"): lambda tag, document: _set_outlet(plant_of(site), tag, document),
    }


def plant_of(site: "VirtualSite") -> Plant:
    """The plant, brought up to the present. Raises TwinError where the site has none."""
    if site.plant is None:
        raise TwinError("the virtual site has no plant; expected twin.plant_port above 0")
    site.plant.move_on()
    return site.plant


def summary(plant: Plant) -> Document:
    """The truth, for drills and tests; powers balance."""
    model = plant.model
    power_w = {
        "feed": model.feed_w,
        "machines": model.mining_w,
        "ups_input": model.ups_input_w,
        "servers": sum(model.servers.sides_w().values()),
        "cooling": model.cooling_w,
        "house": model.house_w,
        "panels": model.panels_w,
        "transformer_loss": model.loss_w,
        "gensets": sum(genset.load_w for genset in model.gensets.values()),
    }
    return {
        "at": model.now_s,
        "power_w": {name: round(value, 1) for name, value in power_w.items()},
        "grid": {"volts": model.grid_v, "hz": model.grid_hz},
        "air_c": {"outside": round(model.outside_c, 1), "inlet": round(model.hall.inlet_c, 1)},
        "fuel_pct": round(model.fuel.level_pct, 1),
        "water_pct": round(model.water.level_pct, 1),
        "charge_pct": {tag: round(100.0 * ups.charge, 1) for tag, ups in model.upses.items()},
        "states": model.states(),
        "faults": dict(model.faults),
    }


def _read(plant: Plant, what: str) -> object:
    if what == "document":
        return plant.model.design.document()
    if what == "events":
        return [{"at": at, "tag": tag, "state": state} for at, tag, state in plant.model.events]
    if what == "faults":
        return {element.tag: faults.words_for(plant.model, element.tag) for element in plant.model.design.elements}
    raise UnknownAddressError(f"/plant/{what}: no such page; expected document, events or faults")


def _press(plant: Plant, button: str) -> object:
    if button not in {"cut", "restore"}:
        raise UnknownAddressError(f"/plant/{button}: no such button; expected cut or restore")
    plant.fail(FEED, OUTAGE if button == "cut" else faults.NONE)
    return summary(plant)


def _set_fault(plant: Plant, tag: str, document: Document) -> object:
    plant.fail(tag, str(document.get("fault")))
    return summary(plant)


def _switch(plant: Plant, tag: str, document: Document) -> object:
    faults.switch(plant.model, tag, closed=_flag(document, "closed"))
    plant.look()
    return summary(plant)


def _set_outlet(plant: Plant, tag: str, document: Document) -> object:
    number, is_on = document.get("outlet"), _flag(document, "on")
    if tag not in {element.tag for element in plant.model.design.elements if element.kind == "pdu"}:
        raise UnknownAddressError(f"{tag}: no PDU has this tag")
    if not isinstance(number, int) or isinstance(number, bool):
        raise TwinError(f"outlet: found {number!r}; expected a number")
    try:
        points.set_outlet(plant.model, tag, number, on=is_on)
    except KeyError as error:
        raise TwinError(f"{tag}: outlet {number}: it has none of this number") from error
    plant.look()
    return summary(plant)


def _flag(document: Document, name: str) -> bool:
    value = document.get(name)
    if not isinstance(value, bool):
        raise TwinError(f"{name}: found {value!r}; expected true or false")
    return value
