"""``/live``: what changes, as server-sent events."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from asgiref.sync import sync_to_async
from django.db import connection
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import translation
from django.views.decorators.http import require_GET

from mbongi.base.clock import utc_now
from mbongi.core.identity.scope import scope_of
from mbongi.core.identity.values import Permission, Scope
from mbongi.fleet import wording
from mbongi.fleet.selectors import EventRow
from mbongi.web import pool_sight, sight
from mbongi.web.context import site_troubles
from mbongi.web.live.board import FIGURES
from mbongi.web.live.hub import CLIENTS_MAX, HUB, Hub
from mbongi.web.live.pool_board import POOL
from mbongi.web.measures import measures

BEAT_S = 10.0
IDS_MAX = 500
STREAM_S_MAX = 1800.0
"""A stream ends after half an hour and the browser opens another: rights that were taken away end with it."""

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Wish:
    """What a browser wants to see: machines (all where ``ids`` is None, none where it is empty) and which figures."""

    ids: tuple[int, ...] | None
    figures: tuple[str, ...]
    pool: bool = False
    """Whether it follows the pool."""


@require_GET
async def live(request: HttpRequest) -> HttpResponseBase:
    """Stream ``site``, ``machines``, ``pool``, ``event``, ``reload`` and ``beat`` events of the asker's scope."""
    user = await request.auser()
    if not user.is_authenticated or not user.may(Permission.MACHINE_VIEW):
        return HttpResponse(status=401 if not user.is_authenticated else 403)
    if HUB.clients >= CLIENTS_MAX:
        return HttpResponse(status=503, headers={"Retry-After": "10"})
    try:
        wish = wish_of(request.GET.get("ids", ""), request.GET.get("figures", ""))
        wish = replace(wish, pool=request.GET.get("pool") == "1" and user.may(Permission.POOL_VIEW))
    except ValueError as error:
        return HttpResponse(f"{error}\n", status=400, content_type="text/plain; charset=utf-8")
    # The stream lasts; the connection that the sign-in was read with must not.
    await sync_to_async(_close_connection)()
    content = stream(HUB, scope_of(user), wish, translation.get_language() or "fr")
    headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        content, headers = gzipped(content), headers | {"Content-Encoding": "gzip"}
    return StreamingHttpResponse(content, content_type="text/event-stream", headers=headers)


def _close_connection() -> None:
    connection.close()


async def gzipped(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Compress a stream, each part to its last byte: a tenth of the size on a thin link, and no delay."""
    packer = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    async for part in content:
        yield packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH)


def wish_of(ids: str, figures: str) -> Wish:
    """Read the query: ``ids`` is ``all`` or numbers, ``figures`` names. Raises ValueError naming what is wrong."""
    names = tuple(dict.fromkeys(name for name in figures.split(",") if name))
    known = {*FIGURES, *measures()} - {"age_s"}
    if unknown := [name for name in names if name not in known and name != "age_s"]:
        raise ValueError(f"figures: {unknown[0][:40]!r}: no such figure")
    names = tuple(name for name in names if name != "age_s")
    if ids == "all":
        return Wish(None, names)
    parts = [part for part in ids.split(",") if part]
    if len(parts) > IDS_MAX or not all(part.isascii() and part.isdigit() and len(part) <= 9 for part in parts):
        raise ValueError(f"ids: expected all, or up to {IDS_MAX} numbers separated by commas")
    return Wish(tuple(int(part) for part in parts), names)


async def stream(hub: Hub, scope: Scope, wish: Wish, language: str) -> AsyncIterator[bytes]:
    """First everything that is known, then what changes; a beat while nothing does."""
    version, number, pool_version = 0, hub.event_number, 0
    started, beat, counted = utc_now().timestamp(), 0.0, None
    hub.clients += 1
    try:
        yield b"retry: 2000\n\n"
        while (now := utc_now().timestamp()) - started < STREAM_S_MAX:
            next_tick, newest = hub.next_tick, hub.board.version
            counts = await hub.counts(scope)
            if newest != version or counts != counted or now - beat > BEAT_S:
                beat, counted = now, counts
                yield _event("site", await _site(hub, scope, now) | {"troubles": _troubles(scope, language)})
            if newest != version and wish.ids != ():
                columns = hub.board.changes(scope, version, wish.figures, wish.ids or ())
                if columns["id"]:
                    yield _event("machines", columns)
            version = newest
            if wish.pool and scope.site_wide and POOL.version != pool_version:
                pool_version = POOL.version
                yield _event("pool", pool_sight.live(POOL.now()))
            number, events, lost = hub.events_after(number, scope)
            if lost:
                yield _event("reload", {})
            for row in events:
                yield _event("event", event_words(row, language))
            if not await _set_within(next_tick, BEAT_S):
                yield _event("beat", {"at": round(utc_now().timestamp(), 1)})
    finally:
        hub.clients -= 1


def _troubles(scope: Scope, language: str) -> list[str]:
    """What is wrong with the site itself is for its own people."""
    with translation.override(language):
        return site_troubles() if scope.site_wide else []


async def _set_within(event: asyncio.Event, limit_s: float) -> bool:
    try:
        async with asyncio.timeout(limit_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def _site(hub: Hub, scope: Scope, now: float) -> dict[str, Any]:
    totals, counts = hub.board.totals(scope, now), await hub.counts(scope)
    return {
        "now": round(now, 1),
        "source_ok": hub.source_ok,
        "newest_at": None if totals.newest_at is None else round(totals.newest_at.timestamp(), 1),
        "hashrate_ths": _rounded(totals.hashrate_ths),
        "power_w": _rounded(totals.power_w),
        "efficiency_jth": _rounded(totals.efficiency_jth),
        "machines": counts.machines,
        "fresh": totals.fresh,
        "alarms": counts.alarms,
        "plant_alarms": counts.plant_alarms,
        "plant_event": counts.plant_event,
        "states": sight.state_counts(counts.machines, totals.states),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def event_words(row: EventRow, language: str) -> dict[str, Any]:
    """An event as a browser shows it, in its language."""
    with translation.override(language):
        return {
            "id": row.id,
            "machine_id": row.machine_id,
            "machine": sight.machine_name(row.rack_label, row.slot, row.address, row.machine_id),
            "kind": row.kind.value,
            "title": str(wording.KINDS[row.kind]),
            "text": wording.event_text(row.kind, row.part, row.params),
            "severity": row.severity.value,
            "at": row.at.isoformat(timespec="seconds"),
            "open": row.kind.is_condition and row.cleared_at is None,
        }


def _event(name: str, content: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + _encoder.encode(content) + b"\n\n"
