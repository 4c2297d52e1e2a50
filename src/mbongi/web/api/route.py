"""What a route and its parameters are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from django.utils.functional import Promise

from mbongi.core.identity.values import Permission
from mbongi.web.api import views


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a query, as a JSON schema."""

    name: str
    schema: dict[str, Any]
    doc: Promise


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path. ``path`` may hold ``{id}``; ``status`` is that of success."""

    method: str
    path: str
    view: Callable[[views.Call], msgspec.Struct]
    answer: type[msgspec.Struct]
    permission: Permission
    summary: Promise
    parameters: tuple[Parameter, ...] = ()
    body: type[msgspec.Struct] | None = None
    status: int = 200
    or_permissions: tuple[Permission, ...] = ()
    """Any of these does as well as ``permission``."""

    @property
    def permissions(self) -> tuple[Permission, ...]:
        """The permissions of which the caller needs one."""
        return (self.permission, *self.or_permissions)

    @property
    def permission_text(self) -> str:
        """Their names, as documents and refusals name them."""
        return " / ".join(each.value for each in self.permissions)

    @property
    def name(self) -> str:
        """The operation's id in the OpenAPI document."""
        return self.view.__name__


def one_of(*words: str) -> dict[str, Any]:
    """The schema of one of some words."""
    return {"type": "string", "enum": sorted(words)}


def whole(low: int, high: int, default: int | None = None) -> dict[str, Any]:
    """The schema of a whole number."""
    schema: dict[str, Any] = {"type": "integer", "minimum": low, "maximum": high}
    return schema if default is None else schema | {"default": default}


def reading(
    path: str,
    view: Callable[[views.Call], msgspec.Struct],
    answer: type[msgspec.Struct],
    permission: Permission,
    summary: Promise,
    *parameters: Parameter,
) -> Route:
    """A route that reads."""
    return Route("GET", path, view, answer, permission, summary, parameters)
