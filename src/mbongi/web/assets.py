"""Static files: read once at start, named by the digest of them all, served compressed from memory.

One digest in the path for every file lets modules and style sheets name each other by relative paths, needs no
build step at start, and lets browsers keep a file for ever: a changed file changes the path of all.
"""

import gzip
import hashlib
import mimetypes
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import allauth.account
import allauth.mfa
from django.conf import settings
from django.contrib.staticfiles.storage import StaticFilesStorage

OWN = Path(__file__).parent / "static"
VENDOR = (
    ("vendor/htmx/htmx.min.js", "node_modules/htmx.org/dist/htmx.min.js"),
    ("vendor/uplot/uPlot.iife.min.js", "node_modules/uplot/dist/uPlot.iife.min.js"),
    ("vendor/uplot/uPlot.min.css", "node_modules/uplot/dist/uPlot.min.css"),
)
ALLAUTH = (
    ("account/js/onload.js", allauth.account),
    ("mfa/js/webauthn.js", allauth.mfa),
    ("mfa/js/webauthn-json.js", allauth.mfa),
    ("mfa/js/recovery_codes.js", allauth.mfa),
)
COMPRESS_FROM = 512
FOR_EVER = b"public, max-age=31536000, immutable"

Asgi = Callable[[MutableMapping[str, Any], Callable[..., Any], Callable[..., Awaitable[None]]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, ready to send. ``gzipped`` is None where compression does not pay."""

    content_type: str
    content: bytes
    gzipped: bytes | None


@dataclass(frozen=True, slots=True)
class Release:
    """All files of one release of the pages; ``digest`` names it in paths."""

    digest: str
    files: dict[str, Asset]


@cache
def release() -> Release:
    """Read every file. A missing vendor file is left out: its page part then stays empty, the rest works."""
    contents = {
        path.relative_to(OWN).as_posix(): path.read_bytes() for path in sorted(OWN.rglob("*")) if path.is_file()
    }
    for name, place in VENDOR:
        if (path := settings.REPOSITORY / place).is_file():
            contents[name] = path.read_bytes()
    for name, package in ALLAUTH:
        if (path := Path(package.__file__).parent / "static" / name).is_file():
            contents[name] = path.read_bytes()
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(name.encode() + b"\0" + len(content).to_bytes(8) + content)
    return Release(digest.hexdigest()[:12], {name: _asset(name, content) for name, content in contents.items()})


def _asset(name: str, content: bytes) -> Asset:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if kind in {"application/javascript", "application/x-javascript"}:
        kind = "text/javascript"
    textual = kind.startswith("text/") or kind in {"image/svg+xml", "application/manifest+json", "application/json"}
    gzipped = gzip.compress(content, 9, mtime=0) if textual and len(content) >= COMPRESS_FROM else None
    return Asset(f"{kind}; charset=utf-8" if textual else kind, content, gzipped)


class ReleaseStorage(StaticFilesStorage):
    """Gives templates the path of a file within the present release."""

    def url(self, name: str | None) -> str:
        """The path that a page loads ``name`` from."""
        return f"{settings.STATIC_URL}{release().digest}/{name}"


class Assets:
    """ASGI in front of Django: answers ``/static/`` from memory, passes everything else on."""

    def __init__(self, application: Asgi) -> None:
        self._application = application

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Callable[..., Any], send: Callable[..., Awaitable[None]]
    ) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or not scope["path"].startswith(settings.STATIC_URL):
            await self._application(scope, receive, send)
            return
        status, headers, body = _answer(scope)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body if scope["method"] != "HEAD" else b""})


def _answer(scope: MutableMapping[str, Any]) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    digest, _, name = scope["path"].removeprefix(settings.STATIC_URL).partition("/")
    asset = release().files.get(name)
    if asset is None or scope["method"] not in {"GET", "HEAD"}:
        return 404, [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"10")], b"not found\n"
    accepts = b"".join(value for key, value in scope["headers"] if key == b"accept-encoding")
    compressed = asset.gzipped is not None and b"gzip" in accepts
    body = asset.gzipped if compressed and asset.gzipped is not None else asset.content
    # A page of a former release may still ask with the former digest: it gets the file, but must not keep it.
    keep = FOR_EVER if digest == release().digest else b"no-store"
    headers = [
        (b"content-type", asset.content_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", keep),
        (b"vary", b"accept-encoding"),
        (b"x-content-type-options", b"nosniff"),
        (b"cross-origin-resource-policy", b"same-origin"),
    ]
    if compressed:
        headers.append((b"content-encoding", b"gzip"))
    return 200, headers, body
