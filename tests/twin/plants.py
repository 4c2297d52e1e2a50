"""A virtual plant without machines or sockets: loads are set by hand, time is moved by hand."""

from mbongi.base.config import Twin
from mbongi.twin.plant.design import designed
from mbongi.twin.plant.model import PlantModel

MIDNIGHT = 1_700_002_800.0
"""2023-11-14 23:00 UTC: local midnight, so no sun."""
NOON = MIDNIGHT + 43_200.0


def plant(*, machines: int = 24, load_w: float = 3_000.0, now_s: float = MIDNIGHT) -> PlantModel:
    """A plant in racks of 12, every machine with the same load, settled."""
    model = PlantModel(designed(Twin(machines=machines)), seed=1, now_s=now_s)
    set_loads(model, load_w)
    model.settle()
    return model


def set_loads(model: PlantModel, load_w: float) -> None:
    """What each machine would draw."""
    for load in model.racks:
        for plug in load.plugs:
            plug.load_w = load_w


def walk(model: PlantModel, seconds: int) -> None:
    """Second by second."""
    for _ in range(seconds):
        model.advance(model.now_s + 1.0)
