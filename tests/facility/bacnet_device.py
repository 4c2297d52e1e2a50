"""A cooling unit made of bacpypes3's own objects, run as a process: ``python -m tests.facility.bacnet_device PORT``.

Lines on its standard input set present values: ``analog-input,1 9.5``; ``fault analog-input,1`` breaks its sensor.
"""

import asyncio
import sys

from bacpypes3.app import Application
from bacpypes3.basetypes import Reliability
from bacpypes3.local.analog import AnalogInputObject, AnalogValueObject
from bacpypes3.local.binary import BinaryInputObject
from bacpypes3.local.device import DeviceObject
from bacpypes3.local.networkport import NetworkPortObject
from bacpypes3.pdu import IPv4Address

COMMON = {
    "statusFlags": [0, 0, 0, 0],
    "eventState": "normal",
    "outOfService": False,
    "reliability": Reliability.noFaultDetected,
}


def _objects() -> list[object]:
    def analog(number: int, value: float, units: str) -> AnalogInputObject:
        return AnalogInputObject(
            objectIdentifier=f"analog-input,{number}",
            objectName=f"AI-{number}",
            presentValue=value,
            units=units,
            covIncrement=0.1,
            **COMMON,
        )

    return [
        analog(1, 7.5, "degreesCelsius"),
        analog(2, 13.25, "degreesCelsius"),
        analog(4, 12.5, "litersPerSecond"),
        AnalogValueObject(
            objectIdentifier="analog-value,1",
            objectName="AV-1",
            presentValue=7.0,
            units="degreesCelsius",
            covIncrement=0.1,
            **COMMON,
        ),
        BinaryInputObject(objectIdentifier="binary-input,1", objectName="BI-1", presentValue="active", **COMMON),
    ]


async def _main(port: int) -> None:
    objects = {str(one.objectIdentifier): one for one in _objects()}  # type: ignore[attr-defined]
    device = DeviceObject(objectIdentifier="device,1001", objectName="CRAH-1", vendorIdentifier=999)
    network = NetworkPortObject(
        IPv4Address(f"127.0.0.1/32:{port}"), objectIdentifier="network-port,1", objectName="port"
    )
    application = Application.from_object_list([device, network, *objects.values()])
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        first, _blank, second = line.strip().partition(" ")
        if first == "fault":
            objects[second].reliability = Reliability.noSensor
        else:
            objects[first].presentValue = float(second)
    application.close()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
