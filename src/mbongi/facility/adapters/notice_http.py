"""Notices over HTTP: webhooks that are signed, and an SMS gateway. Only to hosts that the configuration names.

A webhook's body is signed by ``X-Mbongi-Signature: t=SECONDS,v1=HEX``, HMAC-SHA-256 of ``SECONDS.BODY`` with
``alarms.webhook_secret``; ``Idempotency-Key`` stays the same when it comes twice. No redirect is followed.
"""

import hashlib
import hmac
import http.client
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from mbongi.facility.errors import NoticeError
from mbongi.facility.rules.alarm_rota import Outgoing

TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 4096
SMS_LETTERS_MAX = 300
"""Two parts of a message in UCS-2 and a little more; an SMS says what and where, the page says the rest."""
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Webhook:
    """Posts notices as JSON to addresses of people's choice, within ``hosts``: ``host`` or ``host:port`` each."""

    hosts: Collection[str]
    secret: str

    def send(self, notice: Outgoing) -> None:
        """Raises NoticeError."""
        if not self.secret:
            raise NoticeError("webhook: alarms.webhook_secret is not set; nothing unsigned is sent", is_final=True)
        fields = {"id": notice.key, "subject": notice.subject, "text": notice.text, "alarms": notice.alarms}
        body, now = msgspec.json.encode(fields), int(time.time())
        headers = {"X-Mbongi-Signature": f"t={now},v1={sign(self.secret, now, body)}", "Idempotency-Key": notice.key}
        post(notice.address, body, headers, self.hosts)


@dataclass(frozen=True, slots=True)
class SmsGateway:
    """Posts ``{"id", "to", "text"}`` as JSON to the site's SMS gateway, with its token as a bearer."""

    url: str
    token: str

    def send(self, notice: Outgoing) -> None:
        """Raises NoticeError."""
        if not self.url:
            raise NoticeError("sms: alarms.sms_url is not set", is_final=True)
        fields = {"id": notice.key, "to": notice.address, "text": notice.subject[:SMS_LETTERS_MAX]}
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        host = urlsplit(self.url).netloc.rpartition("@")[2]
        post(self.url, msgspec.json.encode(fields), {**headers, "Idempotency-Key": notice.key}, {host})


def sign(secret: str, at: int, body: bytes) -> str:
    """The signature in hex; receivers make the same and compare."""
    return hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()


def post(url: str, body: bytes, headers: Mapping[str, str], hosts: Collection[str]) -> None:
    """One POST of JSON. Raises NoticeError: final where the address is not allowed or the receiver refuses."""
    connection, path = _connection(url, hosts)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        answer.read(ANSWER_BYTES_MAX)
    except (OSError, http.client.HTTPException) as error:
        raise NoticeError(f"{connection.host}: {type(error).__name__}: {error}") from error
    except ValueError as error:
        raise NoticeError(f"{connection.host}: the address has letters that cannot be sent", is_final=True) from error
    finally:
        connection.close()
    if not 200 <= answer.status < 300:
        is_final = 300 <= answer.status < 500 and answer.status not in {408, 425, 429}
        raise NoticeError(f"{connection.host}: answered {answer.status}", is_final=is_final)


def _connection(url: str, hosts: Collection[str]) -> tuple[http.client.HTTPConnection, str]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise NoticeError(f"the address cannot be read: {error}", is_final=True) from error
    if parts.scheme not in PORTS or not host:
        raise NoticeError("the address is neither http:// nor https://", is_final=True)
    allowed = {host.lower()} if port == PORTS[parts.scheme] else set()
    if not ({f"{host.lower()}:{port}", *allowed} & {each.lower() for each in hosts}):
        raise NoticeError(f"{host}:{port}: not named by alarms.webhook_hosts", is_final=True)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return kind(host, port, timeout=TIMEOUT_S), path
