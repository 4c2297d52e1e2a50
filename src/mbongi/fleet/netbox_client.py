"""Reading a NetBox over its REST API: page by page, from the configured host and no other, within limits."""

import http.client
import ssl
from collections.abc import Iterator
from typing import Generic, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from mbongi.fleet.rules.netbox import DEVICES_MAX, ApiDevice, ApiInterface, Device, NetboxError, devices_of

PAGE = 500
ANSWER_S = 20.0
BYTES_MAX = 32 * 1024 * 1024
Item = TypeVar("Item", ApiDevice, ApiInterface)


class _Page(msgspec.Struct, Generic[Item]):
    count: int
    results: list[Item]


def fetch(url: str, token: str) -> list[Device]:
    """All devices that a NetBox at ``url`` has. Raises NetboxError saying what failed; never with the token in it."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise NetboxError(f"fleet.netbox_url: found {url!r}; expected such as https://netbox.site.example")
    if not (token.isascii() and token.isprintable()):
        # Python's own error would quote it.
        raise NetboxError("fleet.netbox_token: expected plain letters, digits and signs, and no line break")
    devices = list(_pages(url, token, "devices", _Page[ApiDevice]))
    interfaces = list(_pages(url, token, "interfaces", _Page[ApiInterface]))
    return devices_of(devices, interfaces)


def _pages(url: str, token: str, kind: str, form: type[_Page[Item]]) -> Iterator[Item]:
    # The answers name the next page's address; it is not followed, as it may lead to another host.
    offset, count = 0, 1
    while offset < count:
        body = _get(url, token, f"/api/dcim/{kind}/?{urlencode({'limit': PAGE, 'offset': offset})}")
        try:
            page = msgspec.json.decode(body, type=form)
        except msgspec.DecodeError as error:
            raise NetboxError(f"NetBox {kind}: an answer that cannot be read: {error}") from error
        if page.count > DEVICES_MAX:
            raise NetboxError(f"NetBox {kind}: {page.count} of them; at most {DEVICES_MAX}")
        yield from page.results
        if not page.results:
            return
        offset, count = offset + len(page.results), page.count


def _get(url: str, token: str, target: str) -> bytes:
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=ANSWER_S, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=ANSWER_S)
    try:
        headers = {"Authorization": f"Token {token}", "Accept": "application/json"}
        connection.request(
            "GET", parts.path.rstrip("/") + target, headers=headers if token else {"Accept": "application/json"}
        )
        response = connection.getresponse()
        body = response.read(BYTES_MAX + 1)
    except (OSError, http.client.HTTPException) as error:
        raise NetboxError(f"NetBox at {parts.hostname}: {error or type(error).__name__}") from error
    finally:
        connection.close()
    if response.status in {401, 403}:
        raise NetboxError(f"NetBox at {parts.hostname}: HTTP {response.status}: the token is not accepted")
    if response.status != 200:
        raise NetboxError(f"NetBox at {parts.hostname}: HTTP {response.status}; expected 200")
    if len(body) > BYTES_MAX:
        raise NetboxError(f"NetBox at {parts.hostname}: more than {BYTES_MAX} bytes in one answer")
    return body
