"""PDU, UPS and whatever else answers SNMP, versions 2c and 3, by pysnmp. Read only: nothing is set.

Source: RFC 3416 (v2c), RFC 3414 (v3's users); the objects are the maps'.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from pysnmp.hlapi.v3arch.asyncio import (
    USM_AUTH_HMAC96_SHA,
    USM_AUTH_HMAC192_SHA256,
    USM_AUTH_NONE,
    USM_PRIV_CFB128_AES,
    USM_PRIV_NONE,
    CommunityData,
    ContextData,
    ObjectIdentity,
    ObjectType,
    SnmpEngine,
    UdpTransportTarget,
    UsmUserData,
    get_cmd,
)
from pysnmp.proto.errind import ErrorIndication
from pysnmp.proto.rfc1905 import EndOfMibView, NoSuchInstance, NoSuchObject

from mbongi.facility.device_errors import DeniedError, GarbledError, MissingError, SilentError, UnreachableError
from mbongi.facility.point_maps import point_map
from mbongi.facility.ports import Credentials, DeviceTarget, Scorecard
from mbongi.facility.rules.point_maps import MapRow
from mbongi.facility.values import Found, Protocol

OBJECTS_MAX = 12
"""Of one question: what fits a datagram of 1,472 bytes with room, whatever the device."""
RETRIES = 1
SCORECARD = Scorecard(
    title="SNMP v2c and v3 (pysnmp)",
    reads=("integers, gauges, counters and numbers written as text", "v3: SHA-1 or SHA-256, AES-128"),
    not_done=("v1", "traps", "setting", "walking tables: a map names its objects", "MD5 and DES"),
    retries=RETRIES,
)
_ABSENT = (NoSuchObject, NoSuchInstance, EndOfMibView)
_DENIED = {
    *("AuthenticationError", "AuthenticationFailure", "DecryptionError", "UnknownUserName", "WrongDigest"),
    *("UnsupportedSecurityLevel", "UnknownSecurityName", "UnknownCommunityName"),
}
"""Names of pysnmp's indications that speak of who we are; an agent mostly stays silent before a wrong community."""
_SHA256 = "sha256"


def engine() -> SnmpEngine:
    """What all readers of a process share."""
    return SnmpEngine()


class SnmpReader:
    """One agent. ``selector`` may name v3's digest: ``sha256``, else SHA-1."""

    def __init__(self, target: DeviceTarget, engine: SnmpEngine) -> None:
        """Raises MapError where the target's map cannot be used."""
        self._target, self._engine = target, engine
        self._name = f"{target.host}:{target.port}"
        self._rows = point_map(target.map_name, target.maps).rows
        self._who = _who(target)
        self._transport: UdpTransportTarget | None = None

    async def read(self) -> list[Found]:
        """As ``DeviceReader``. Objects that the agent does not have are left out."""
        found: list[Found] = []
        try:
            async with asyncio.timeout(self._target.timeout_s):
                for start in range(0, len(self._rows), OBJECTS_MAX):
                    found += await self._part(self._rows[start : start + OBJECTS_MAX])
        except TimeoutError as error:
            raise SilentError(f"{self._name}: no answer within {self._target.timeout_s:g} s") from error
        if not found:
            raise MissingError(f"{self._name}: has none of the objects of the map {self._target.map_name}")
        return found

    async def _part(self, rows: Sequence[MapRow]) -> list[Found]:
        wanted = [ObjectType(ObjectIdentity(row.place)) for row in rows]
        try:
            trouble, status, _index, answered = await get_cmd(
                self._engine, self._who, await self._reached(), ContextData(), *wanted, lookupMib=False
            )
        except OSError as error:
            raise UnreachableError(f"{self._name}: {error.strerror or error}") from error
        if trouble is not None:
            raise self._error(trouble)
        if int(status):
            raise GarbledError(f"{self._name}: error status {status.prettyPrint()}")
        by_place = {str(name): value for name, value in answered}
        if len(by_place) != len(rows) or by_place.keys() != {row.place for row in rows}:
            raise GarbledError(f"{self._name}: other objects than were asked for")
        pairs = ((row, by_place[row.place]) for row in rows)
        return [Found(row.quantity, row.value(_number(raw))) for row, raw in pairs if not isinstance(raw, _ABSENT)]

    async def _reached(self) -> UdpTransportTarget:
        if self._transport is None:
            each_s = self._target.timeout_s / (RETRIES + 2)
            place = (self._target.host, self._target.port)
            self._transport = await UdpTransportTarget.create(place, timeout=each_s, retries=RETRIES)
        return self._transport

    def _error(self, trouble: ErrorIndication) -> Exception:
        kind = type(trouble).__name__
        if kind == "RequestTimedOut":
            return SilentError(f"{self._name}: no answer")
        return (DeniedError if kind in _DENIED else GarbledError)(f"{self._name}: {trouble}")

    async def close(self) -> None:
        """As ``DeviceReader``: nothing is kept open for one agent."""


def _who(target: DeviceTarget) -> Any:
    known: Credentials = target.credentials
    if target.protocol is Protocol.SNMP2:
        return CommunityData(known.secret, mpModel=1)  # noqa: S508 -- many PDU and UPS know nothing newer
    digest = USM_AUTH_HMAC192_SHA256 if target.selector == _SHA256 else USM_AUTH_HMAC96_SHA
    return UsmUserData(
        known.user,
        authKey=known.secret or None,
        privKey=known.privacy or None,
        authProtocol=digest if known.secret else USM_AUTH_NONE,
        privProtocol=USM_PRIV_CFB128_AES if known.privacy else USM_PRIV_NONE,
    )


def _number(raw: Any) -> float:
    """An agent's number; some write theirs as text. NaN for anything else."""
    try:
        return float(int(raw)) if not hasattr(raw, "asOctets") else float(raw.asOctets().decode("ascii"))
    except (ValueError, TypeError, UnicodeDecodeError):
        return math.nan
