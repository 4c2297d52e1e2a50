"""``/metrics`` for Prometheus from a daemon of the pool: a listener on loopback that answers that one question."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

QUESTION_BYTES_MAX: Final = 8_192
QUESTION_S_MAX: Final = 5.0
ASKERS_MAX: Final = 16
"""Questions at the same time; above it they are not answered."""


class _Source:
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()


class MetricsServer:
    """Answers ``GET /metrics`` with what ``collect`` gives, and anything else with 404."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Source(collect))
        self._askers = 0

    async def serve(self, host: str, port: int) -> None:
        """Listen until cancelled. Raises OSError where it cannot."""
        server = await asyncio.start_server(self._answer, host, port, limit=QUESTION_BYTES_MAX)
        async with server:
            await server.serve_forever()

    def text(self) -> bytes:
        """All figures in Prometheus' form."""
        return generate_latest(self._registry)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._askers += 1
        try:
            if self._askers > ASKERS_MAX:
                return
            async with asyncio.timeout(QUESTION_S_MAX):
                question = await reader.readuntil(b"\r\n\r\n")
                is_known = question.startswith((b"GET /metrics ", b"GET /metrics?"))
                body = self.text() if is_known else b"not found\n"
                status = b"200 OK" if is_known else b"404 Not Found"
                kind = CONTENT_TYPE_LATEST.encode() if is_known else b"text/plain"
                writer.write(
                    b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
                    % (status, kind, len(body), body)
                )
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked is gone, or asks nothing that we answer
        finally:
            self._askers -= 1
            writer.close()
