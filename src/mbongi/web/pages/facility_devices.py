"""Devices of the plant: what each measures and how old that is, how asking goes; entered, tried, changed, removed."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError
from mbongi.core.identity.values import Permission
from mbongi.facility import device_rows, devices
from mbongi.facility.device_board import ANSWER_S, CAP_SUBJECT, TRY_SUBJECT, CapReply, DeviceState, TryReply
from mbongi.facility.device_rows import DeviceRow
from mbongi.facility.device_wording import ERRORS, PROTOCOLS, QUALITIES, QUANTITIES, YES_NO
from mbongi.facility.errors import DeviceRefusedError, NotPermittedError, UnknownDeviceError
from mbongi.facility.point_maps import point_map, point_maps
from mbongi.facility.rules.devices import PORTS, SCHEMES, DeviceDraft
from mbongi.facility.rules.point_maps import MapError
from mbongi.facility.values import Protocol, Quality, Quantity
from mbongi.web import figures
from mbongi.web.guard import needs
from mbongi.web.live.plant_board import PLANT, PointNow

PLACE = "/facility/devices/"
Reply = TypeVar("Reply")
SHOWN_MAX = 200
"""Devices of one page; a filter finds the others."""
FIRST = (
    *(Quantity.POWER_W, Quantity.ON_BATTERY, Quantity.CHARGE_PCT, Quantity.RUNTIME_S, Quantity.SUPPLY_TEMPERATURE_C),
    *(Quantity.RETURN_TEMPERATURE_C, Quantity.FLOW_L_S, Quantity.TEMPERATURE_C, Quantity.ENERGY_WH),
    *(Quantity.LEVEL_PCT, Quantity.FREQUENCY_HZ, Quantity.VOLTAGE_L1_V),
)
"""What the list shows of a device, where it has it."""
FIRST_MAX = 3


@dataclass(frozen=True, slots=True)
class Value:
    """A value as people read it. ``text`` replaces figure and unit where it is a yes or no, or a length of time."""

    quantity: Quantity
    label: Promise
    figure: float | None
    unit: str
    decimals: int
    text: str
    quality: Promise
    is_good: bool
    at: datetime | None
    is_stale: bool


@dataclass(frozen=True, slots=True)
class Sight:
    """A device on the page. ``tone`` is the chip's class and icon, ``word`` what it says."""

    row: DeviceRow
    protocol: str
    map_title: str
    tone: str
    word: str
    error: str
    detail: str
    good_at: datetime | None
    state: DeviceState | None
    values: list[Value]

    @property
    def first(self) -> list[Value]:
        """What the list shows."""
        known = {one.quantity: one for one in self.values}
        chosen = [known[one] for one in FIRST if one in known]
        return (chosen or self.values)[:FIRST_MAX]


@require_safe
@needs(Permission.FACILITY_VIEW)
def device_list(request: HttpRequest) -> HttpResponse:
    """Every device; htmx asks for the part that changes alone, again and again."""
    sought = request.GET.get("q", "").strip().lower()
    rows = [row for row in device_rows.devices() if sought in f"{row.tag} {row.host} {row.protocol}".lower()]
    sights = [_sight(row) for row in rows[:SHOWN_MAX]]
    states = [PLANT.state(row.id) for row in rows if row.is_enabled]
    user: Any = request.user
    content = {
        "sights": sights,
        "sought": request.GET.get("q", ""),
        "total": len(rows),
        "more": len(rows) - len(sights),
        "answering": sum(one is not None and bool(one.good_ms) and not one.error for one in states),
        "enabled": len(states),
        "silent": sum(one is not None and bool(one.error) for one in states),
        "is_away": PLANT.is_away,
        "heard_at": PLANT.heard_at,
        "may_edit": user.may(Permission.FACILITY_EDIT),
    }
    is_part = request.headers.get("HX-Request")
    return render(request, "parts/facility_devices.html" if is_part else "pages/facility_devices.html", content)


@require_safe
@needs(Permission.FACILITY_VIEW)
def device(request: HttpRequest, device_id: int) -> HttpResponse:
    """One device with all its points."""
    sight, user = _sight(_row_or_404(device_id)), request.user
    content = {
        "one": sight,
        "is_away": PLANT.is_away,
        "heard_at": PLANT.heard_at,
        "may_edit": user.may(Permission.FACILITY_EDIT),  # type: ignore[union-attr]
        "is_server": sight.row.protocol is Protocol.REDFISH,
    }
    is_part = request.headers.get("HX-Request")
    return render(request, "parts/facility_device.html" if is_part else "pages/facility_device.html", content)


@require_safe
@needs(Permission.FACILITY_EDIT)
def edit(request: HttpRequest, device_id: int | None = None) -> HttpResponse:
    """The form for a new device, or for one on record."""
    return _form(request, None if device_id is None else _row_or_404(device_id))


def _form(request: HttpRequest, row: DeviceRow | None, *, refusal: str = "") -> HttpResponse:
    given = {**_given(row), **({key: request.POST[key] for key in request.POST} if refusal else {})}
    try:
        maps = point_maps(device_rows.own_maps())
    except MapError as error:
        maps, refusal = point_maps(), refusal or _("A map of the site's own cannot be used: %(why)s") % {"why": error}
    content = {
        "row": row,
        "given": given,
        "refusal": refusal,
        "protocols": [(one.value, PROTOCOLS[one], PORTS[one]) for one in Protocol],
        "maps": maps,
        "schemes": SCHEMES,
    }
    return render(request, "pages/facility_device_edit.html", content)


def _given(row: DeviceRow | None) -> dict[str, Any]:
    if row is None:
        return {"protocol": Protocol.MODBUS.value, "port": 502, "period_s": 10, "timeout_s": 3, "is_enabled": "on"}
    fields = ("tag", "host", "port", "selector", "map_name", "period_s", "timeout_s", "user", "note")
    given = {name: getattr(row, name) for name in fields}
    return given | {"protocol": row.protocol.value, "is_enabled": "on" if row.is_enabled else ""}


@require_POST
@needs(Permission.FACILITY_EDIT)
def save(request: HttpRequest, device_id: int | None = None) -> HttpResponse:
    """Enter or change a device."""
    row = None if device_id is None else _row_or_404(device_id)
    user: Any = request.user
    try:
        draft = _draft(request.POST)
        saved = devices.save_device(user, draft, device_id=device_id, reason=request.POST.get("reason", ""))
    except DeviceRefusedError as error:
        return _form(request, row, refusal=error.text)
    except NotPermittedError as error:
        raise PermissionDenied from error
    messages.success(request, _("Entered. It is asked within a few seconds."))
    return redirect(f"{PLACE}{saved.id}/")


@require_POST
@needs(Permission.FACILITY_EDIT)
def try_now(request: HttpRequest, device_id: int | None = None) -> HttpResponse:
    """Ask the device of the form once, and show what comes. Nothing is kept."""
    user: Any = request.user
    try:
        asked = devices.try_request(user, _draft(request.POST), device_id=device_id)
        reply = _ask(TRY_SUBJECT, msgspec.json.encode(asked), TryReply)
    except DeviceRefusedError as error:
        return render(request, "parts/facility_tried.html", {"refusal": error.text})
    except UnknownDeviceError as error:
        raise Http404 from error
    except BusError:
        return render(request, "parts/facility_tried.html", {"refusal": _away()})
    values = [_value(one.quantity, one.value, one.quality) for one in reply.values]
    content = {"reply": reply, "values": values, "error": ERRORS.get(reply.error, "")}
    return render(request, "parts/facility_tried.html", content)


@require_POST
@needs(Permission.FACILITY_EDIT)
def remove(request: HttpRequest, device_id: int) -> HttpResponse:
    """Take a device off the record."""
    user: Any = request.user
    return _attempt(
        request,
        lambda: devices.remove_device(user, device_id, reason=request.POST.get("reason", "")),
        told=_("Removed. Its past values stay in the record."),
        otherwise=f"{PLACE}{device_id}/",
    )


@require_POST
@needs(Permission.FACILITY_EDIT)
def cap(request: HttpRequest, device_id: int) -> HttpResponse:
    """Set a server's power cap, or say what that would do."""
    user, form = request.user, request.POST
    place = f"{PLACE}{device_id}/"
    try:
        watts = None if not form.get("watts", "").strip() else _number(form, "watts", _("Power cap"))
        is_dry = form.get("act") != "write"
        asked = devices.cap_request(
            user,  # type: ignore[arg-type]
            device_id,
            watts,
            dry_run=is_dry,
            reason=form.get("reason", ""),
        )
        try:
            reply = _ask(CAP_SUBJECT, msgspec.json.encode(asked), CapReply)
        except BusError:
            reply = CapReply(error="silent", detail="the facility process did not answer")
        devices.cap_done(user, asked, reply)  # type: ignore[arg-type]
    except DeviceRefusedError as error:
        messages.error(request, error.text)
        return redirect(place)
    except UnknownDeviceError as error:
        raise Http404 from error
    if reply.error:
        messages.error(request, f"{ERRORS.get(reply.error, '')} {reply.detail}")
    else:
        text = _("Dry run: %(before)s would become %(after)s.") if is_dry else _("%(before)s became %(after)s.")
        messages.success(request, text % {"before": _watts(reply.before_w), "after": _watts(reply.after_w)})
    return redirect(place)


def _watts(value: float | None) -> str:
    return _("no cap") if value is None else f"{value:g} W"


def _attempt(request: HttpRequest, act: Callable[[], object], *, told: str, otherwise: str) -> HttpResponse:
    try:
        act()
    except DeviceRefusedError as error:
        messages.error(request, error.text)
        return redirect(otherwise)
    except UnknownDeviceError as error:
        raise Http404 from error
    messages.success(request, told)
    return redirect(PLACE)


def _ask(subject: str, data: bytes, kind: type[Reply]) -> Reply:
    """Ask the facility process, and wait for it. Raises BusError."""

    async def ask() -> bytes:
        bus = await Bus.open(settings.CONFIG, name="web-facility", limit_s=2.0)
        try:
            return await bus.request(subject, data, limit_s=ANSWER_S)
        finally:
            await bus.close()

    return msgspec.json.decode(asyncio.run(ask()), type=kind)


def _away() -> str:
    return _("The process that asks the devices does not answer. Look whether the facility process runs, and the bus.")


def _row_or_404(device_id: int) -> DeviceRow:
    try:
        return device_rows.device(device_id)
    except UnknownDeviceError as error:
        raise Http404 from error


def _draft(form: QueryDict) -> DeviceDraft:
    """The form's device. Raises DeviceRefusedError for what is no number or protocol."""
    try:
        protocol = Protocol(form.get("protocol", ""))
    except ValueError as error:
        raise DeviceRefusedError("protocol: not known", _("Choose a protocol.")) from error
    port = _number(form, "port", _("Port"))
    return DeviceDraft(
        tag=form.get("tag", "").strip(),
        protocol=protocol,
        host=form.get("host", "").strip(),
        port=int(port) if port == int(port) else 0,
        selector=form.get("selector", "").strip(),
        map_name="" if protocol is Protocol.SUNSPEC else form.get("map_name", ""),
        period_s=_number(form, "period_s", _("Period")),
        timeout_s=_number(form, "timeout_s", _("Time limit")),
        user=form.get("user", "").strip(),
        secret=form.get("secret") or None,
        privacy=form.get("privacy") or None,
        is_enabled="is_enabled" in form,
        note=form.get("note", ""),
    )


def _number(form: QueryDict, name: str, label: str) -> float:
    text = form.get(name, "").strip().replace(",", ".").replace("\u202f", "")
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e9:
        told = _("%(what)s: “%(found)s” is no number.") % {"what": label, "found": text[:40]}
        raise DeviceRefusedError(f"{name}: {text!r} is no number", told)
    return value


def _sight(row: DeviceRow) -> Sight:
    state = PLANT.state(row.id)
    tone, word = _standing(row, state)
    points = [_value_of(one) for one in PLANT.points(row.tag)]
    return Sight(
        row=row,
        protocol=PROTOCOLS[row.protocol],
        map_title=_map_title(row),
        tone=tone,
        word=word,
        error=str(ERRORS.get(state.error, "")) if state and state.error else "",
        detail=state.detail if state else "",
        good_at=datetime.fromtimestamp(state.good_ms / 1000, UTC) if state and state.good_ms else None,
        state=state,
        values=points,
    )


def _standing(row: DeviceRow, state: DeviceState | None) -> tuple[str, str]:
    if not row.is_enabled:
        return "off", _("switched off")
    if state is None or PLANT.is_away:
        return "unknown", _("not known")
    if state.error:
        return "fault", _("no values")
    return ("mining", _("answers")) if state.good_ms else ("starting", _("asked soon"))


def _map_title(row: DeviceRow) -> str:
    if row.protocol in {Protocol.SUNSPEC, Protocol.REDFISH}:
        return row.map_name
    try:
        return point_map(row.map_name, device_rows.own_maps()).title
    except MapError:
        return row.map_name


def _value_of(one: PointNow) -> Value:
    return _value(one.quantity, one.value, one.quality, at=one.at, is_stale=one.is_stale)


def _value(
    quantity: Quantity, value: float | None, quality: Quality, *, at: datetime | None = None, is_stale: bool = False
) -> Value:
    text = ""
    if quantity in YES_NO and value in {0.0, 1.0}:
        text = _("yes") if value else _("no")
    elif quantity.unit == "s" and value is not None:
        text = figures.span(value)
    figure, unit = value, quantity.unit
    if unit in {"W", "VA", "var", "Wh"} and value is not None and abs(value) >= 10_000:
        figure, unit = value / 1000.0, f"k{unit}"
    is_good = quality is Quality.GOOD and not is_stale
    return Value(
        quantity, QUANTITIES[quantity], figure, unit, _decimals(figure), text, QUALITIES[quality], is_good, at, is_stale
    )


def _decimals(figure: float | None) -> int:
    if figure is None or figure == int(figure):
        return 0
    return 2 if abs(figure) < 100 else 1
