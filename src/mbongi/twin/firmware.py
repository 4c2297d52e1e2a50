"""What the listeners need of a family's firmware, and what passes between them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from mbongi.twin.machine import VirtualMachine

encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Reply:
    """What to send."""

    body: bytes
    then_image: "Callable[[bytes], Reply] | None" = None
    """Where an image is to follow on the same connection: gives the last answer once it is there."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One parsed request; header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """One answer; the listener adds length and connection headers."""

    status: int
    body: bytes
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


AnswerRpc = Callable[[bytes], Reply]
"""Answers one complete request on the RPC port; quick, and never blocks."""
AnswerHttp = Callable[[HttpRequest], HttpReply]
"""Answers one HTTP request; quick, and never blocks."""


class Firmware(Protocol):
    """A family's firmware on one machine.

    It has ``answer_rpc``, ``answer_http``, ``answer_framed`` as far as the family has such ports; ``site.SERVICES``
    lists them.
    """

    machine: VirtualMachine


def unix_s() -> int:
    """The ``When`` of a reply."""
    return int(time.time())


def json_object(body: bytes) -> dict[str, Any] | None:
    """A request's JSON object; None where it is none."""
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
    return found if isinstance(found, dict) else None


def host_and_port(url: str) -> tuple[str, str]:
    """``stratum+tcp://host:port`` taken apart; missing parts are empty."""
    rest = url.split("://", 1)[-1]
    host, _, port = rest.partition(":")
    return host, port.split("/", 1)[0]


def short_difficulty(value: float) -> str:
    """A share difficulty as cgminer writes it (524K), with three digits where it is below a thousand."""
    return f"{value / 1000:.0f}K" if value >= 1000 else f"{value:.3g}"


def whole(value: float) -> int | float:
    """A difficulty without its fraction, as firmware states it; below 1, as on practice chains, as it is."""
    return int(value) if value >= 1 else value
