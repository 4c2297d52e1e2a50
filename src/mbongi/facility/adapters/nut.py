"""UPS behind Network UPS Tools' server (upsd). Read only: no instant command is sent and no variable set.

Source: RFC 9271; the variables are the map's.
"""

import asyncio
import math

from mbongi.facility.adapters.streams import Stream, end
from mbongi.facility.device_errors import DeniedError, GarbledError, MissingError, SilentError, UnreachableError
from mbongi.facility.point_maps import point_map
from mbongi.facility.ports import DeviceTarget, Scorecard
from mbongi.facility.rules.point_maps import MapRow
from mbongi.facility.values import Found
from mbongi.wire import nut
from mbongi.wire.errors import WireError

SCORECARD = Scorecard(
    title="Network UPS Tools (NUT)",
    reads=("variables of a UPS", "words of its status"),
    not_done=("STARTTLS", "instant commands", "shutting down with the UPS: upsmon does that"),
    bytes_max=nut.LINES_MAX * nut.LINE_BYTES_MAX,
)
_DENIED = {"ACCESS-DENIED", "INVALID-USERNAME", "INVALID-PASSWORD", "USERNAME-REQUIRED", "PASSWORD-REQUIRED"}
_SILENT = {"DATA-STALE", "DRIVER-NOT-CONNECTED"}


class NutReader:
    """One UPS by its name on the server. The connection is kept."""

    def __init__(self, target: DeviceTarget) -> None:
        """Raises MapError where the target's map cannot be used."""
        self._target = target
        self._name = f"{target.host}:{target.port}"
        self._rows = point_map(target.map_name, target.maps).rows
        self._stream: Stream | None = None

    async def read(self) -> list[Found]:
        """As ``DeviceReader``."""
        try:
            async with asyncio.timeout(self._target.timeout_s):
                variables = await self._variables()
        except nut.NutRefused as error:
            await self.close()
            raise self._refused(error) from error
        except TimeoutError as error:
            await self.close()
            raise SilentError(f"{self._name}: no answer within {self._target.timeout_s:g} s") from error
        except asyncio.IncompleteReadError as error:
            await self.close()
            raise UnreachableError(f"{self._name}: the connection ended before the answer did") from error
        except OSError as error:
            await self.close()
            raise UnreachableError(f"{self._name}: {error.strerror or error}") from error
        except (WireError, asyncio.LimitOverrunError) as error:
            await self.close()
            raise GarbledError(f"{self._name}: {error}") from error
        except BaseException:
            await self.close()
            raise
        return values(self._rows, variables)

    def _refused(self, error: nut.NutRefused) -> Exception:
        if error.word in _DENIED:
            return DeniedError(f"{self._name}: {error.word}")
        if error.word in _SILENT:
            return SilentError(f"{self._name}: {self._target.selector}: the server has lost the UPS ({error.word})")
        if error.word == "UNKNOWN-UPS":
            return MissingError(f"{self._name}: has no UPS named {self._target.selector}")
        return GarbledError(f"{self._name}: {error}")

    async def _variables(self) -> dict[str, str]:
        reader, writer = await self._connected()
        found = nut.VariableList(self._target.selector)
        writer.write(nut.list_variables(self._target.selector))
        while not found.take(await reader.readuntil(b"\n")):
            pass
        return found.variables

    async def _connected(self) -> Stream:
        if self._stream is not None and not self._stream[0].at_eof():
            return self._stream
        await self.close()
        reader, writer = await asyncio.open_connection(self._target.host, self._target.port, limit=nut.LINE_BYTES_MAX)
        self._stream = reader, writer
        known = self._target.credentials
        if known.user:
            for line in nut.sign_in(known.user, known.secret):
                writer.write(line)
                nut.check_ok(await reader.readuntil(b"\n"))
        return reader, writer

    async def close(self) -> None:
        """As ``DeviceReader``."""
        stream, self._stream = self._stream, None
        await end(stream)


def values(rows: tuple[MapRow, ...], variables: dict[str, str]) -> list[Found]:
    """What the map finds among the variables; what the UPS does not have is left out.

    A place such as ``ups.status#OB`` is 1 where one of its words is among the variable's, else 0.
    """
    found = []
    for row in rows:
        name, mark, words = row.place.partition("#")
        if name in variables:
            said = variables[name]
            value = float(not set(words.split()).isdisjoint(said.split())) if mark else row.value(_number(said))
            found.append(Found(row.quantity, value))
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
