"""The OpenAPI 3.1 document of the API, made from the table of routes, and its guide for people."""

from typing import Any

import msgspec
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from mbongi.core.identity.values import Permission
from mbongi.web.api.route import Route
from mbongi.web.api.routes import ROUTES
from mbongi.web.guard import needs
from mbongi.web.problems import Problem, json_answer

BASE = "/api/v1"
VERSION = "1.0.0"
_PROBLEMS = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 503: "Service Unavailable"}


def document() -> dict[str, Any]:
    """The whole document; texts are English, as programs' authors expect."""
    kinds = {route.answer for route in ROUTES} | {route.body for route in ROUTES if route.body} | {Problem}
    ordered = sorted(kinds, key=lambda kind: kind.__name__)
    _schemas, components = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{settings.CONFIG.site.name} API",
            "version": VERSION,
            "description": "Machines, readings, events, actions, pool and ledger of the site. Times are UTC.",
        },
        "servers": [{"url": BASE}],
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME},
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = []
    if "{id}" in route.path:
        parameters.append({"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}})
    parameters += [
        {"name": one.name, "in": "query", "required": False, "schema": one.schema, "description": _english(one.doc)}
        for one in route.parameters
    ]
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": _english(route.summary),
        "description": f"Permission: {route.permission_text}.",
        "parameters": parameters,
        "responses": {str(route.status): _response("Success", "application/json", route.answer.__name__)}
        | {str(code): _response(text, "application/problem+json", "Problem") for code, text in _PROBLEMS.items()},
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True} | _content("application/json", route.body.__name__)
    return operation


def _english(text: Any) -> str:
    from django.utils import translation  # noqa: PLC0415 -- only here does a text leave the reader's language

    with translation.override("en"):
        return str(text)


def _content(kind: str, schema: str) -> dict[str, Any]:
    return {"content": {kind: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _response(text: str, kind: str, schema: str) -> dict[str, Any]:
    return {"description": text} | _content(kind, schema)


@require_safe
@needs()
def openapi(_request: HttpRequest) -> HttpResponse:
    """The document itself."""
    return json_answer(document())


@require_safe
@needs(Permission.MACHINE_VIEW)
def guide(request: HttpRequest) -> HttpResponse:
    """The same for people: every route with its parameters, and an example to copy."""
    routes = [(route, _fields(route.answer), _fields(route.body) if route.body else []) for route in ROUTES]
    return render(request, "pages/api.html", {"here": "docs", "routes": routes, "base": BASE})


def _fields(kind: type[msgspec.Struct]) -> list[tuple[str, str]]:
    _schemas, components = msgspec.json.schema_components([kind], ref_template="{name}")
    properties = components[kind.__name__]["properties"]
    return [(name, _kind(schema)) for name, schema in properties.items()]


def _kind(schema: Any) -> str:
    if not isinstance(schema, dict):
        return "any"
    if "anyOf" in schema:
        return " | ".join(_kind(one) for one in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"])
    if schema.get("type") == "array":
        return f"[{_kind(schema.get('items', {}))}]"
    return str(schema.get("format") or schema.get("type") or "any")
