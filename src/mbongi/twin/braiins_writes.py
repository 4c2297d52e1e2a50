"""Braiins OS' sign-in and writes over REST. What its OpenAPI description leaves open is marked as chosen."""

import hashlib
import secrets
from collections.abc import Callable
from typing import Any

import msgspec

from mbongi.twin.errors import WriteRefusedError
from mbongi.twin.firmware import HttpReply, HttpRequest, encode, json_object
from mbongi.twin.flash import form_parts
from mbongi.twin.images import BadImageError
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.physics import frequency_share_for
from mbongi.twin.values import POOL_COUNT, PoolEntry

USER = "root"
TOKEN_S = 3600.0
"""A token dies so long after its last use."""
SHARES = (0.45, 1.0)
"""The least power target and the greatest, as shares of the nameplate (chosen)."""
DONE = HttpReply(204, b"", "text/plain")


def json_reply(document: object) -> HttpReply:
    """A reply that holds JSON."""
    return HttpReply(200, encode(document))


def refused(status: int, words: str) -> HttpReply:
    """A refusal: a text that says why (that there is one is known, its words are chosen)."""
    return HttpReply(status, words.encode(), "text/plain")


class BraiinsWrites:
    """The write side of one machine, and the settings that only Braiins OS has."""

    def __init__(self, machine: VirtualMachine, *, password: str) -> None:
        self.machine = machine
        model = machine.model
        low, high = (round(model.power_w * share / 10) * 10 for share in SHARES)
        self.watts = low, high, high
        """Least, default and greatest power target."""
        machine.deliver(
            password=password,
            hostname="Antminer",
            power_target_w=high,
            group_name="Default",
            is_stopped=False,
            cooling={"auto": {}},
        )
        self.tokens: dict[str, float] = {}
        self._uids: dict[PoolEntry, str] = {}
        self.handlers: dict[tuple[str, str], Callable[[HttpRequest], HttpReply]] = {
            ("PUT", "auth/password"): self._password,
            ("PUT", "pools/batch"): self._pools,
            ("PUT", "performance/power-target"): self._power_target,
            ("PUT", "cooling/mode"): self._cooling,
            ("PATCH", "network/configuration"): self._network,
            ("PUT", "actions/pause"): lambda _: self._rest(stopped=False),
            ("PUT", "actions/stop"): lambda _: self._rest(stopped=True),
            ("PUT", "actions/resume"): lambda _: self._work(),
            ("PUT", "actions/start"): lambda _: self._work(),
            ("PUT", "actions/restart"): self._restart,
            ("PUT", "actions/reboot"): self._reboot,
            ("PUT", "actions/locate"): self._locate,
            ("POST", "upgrade/system-upgrade"): self._flash,
        }

    def answer(self, method: str, name: str, request: HttpRequest) -> HttpReply:
        """Answer a write of somebody who has signed in."""
        handler = self.handlers.get((method, name))
        if handler is None:
            return refused(404, "Not Found")
        try:
            return handler(request)
        except WriteRefusedError:
            return refused(500, "Internal error")

    # Signing in.

    def knows(self, request: HttpRequest) -> bool:
        """Whether a request carries a living token, which lives on by it."""
        token, now = request.headers.get("authorization", ""), self.machine.clock()
        if self.tokens.get(token, 0.0) <= now:
            return False
        self.tokens[token] = now + TOKEN_S
        return True

    def login(self, request: HttpRequest) -> HttpReply:
        """Answer ``auth/login``."""
        document = json_object(request.body) or {}
        if (document.get("username"), document.get("password")) != (USER, self.machine.settings.password):
            return refused(401, "Invalid credentials")
        token = secrets.token_urlsafe(12)
        self.tokens[token] = self.machine.clock() + TOKEN_S
        return json_reply({"token": token, "timeout_s": int(TOKEN_S)})

    def graphql_login(self, variables: object) -> HttpReply:
        """Answer GraphQL's login, which gives a cookie."""
        given = variables if isinstance(variables, dict) else {}
        if (given.get("username"), given.get("password")) != (USER, self.machine.settings.password):
            return json_reply({"data": None, "errors": [{"message": "Invalid credentials"}]})
        cookie = {"Set-Cookie": f"session_id={secrets.token_hex(8)}; Path=/"}
        return HttpReply(200, b'{"data":{"auth":{"login":{"void":null}}}}', headers=cookie)

    def _password(self, request: HttpRequest) -> HttpReply:
        document = json_object(request.body)
        new = None if document is None else document.get("password")
        if document is None or not (new is None or isinstance(new, str)):
            return refused(400, "Invalid password")
        self.machine.change(password=new or "")
        self.tokens.clear()
        return DONE

    # Pools.

    def uid(self, index: int) -> str:
        """The name that the machine gives a configured pool."""
        return self._uids.setdefault(self.machine.pools[index], secrets.token_hex(8))

    @property
    def group_name(self) -> str:
        """Of the one group of pools."""
        return str(self.machine.settings.of("group_name"))

    @property
    def power_target_w(self) -> int:
        """What is asked for at the wall."""
        return int(self.machine.settings.of("power_target_w"))

    @property
    def cooling(self) -> dict[str, Any]:
        """The cooling mode as it was written."""
        return dict(self.machine.settings.of("cooling"))

    def group(self) -> dict[str, Any]:
        """The one group as configured, passwords included."""
        pools = [
            {"enabled": True, "password": pool.password, "uid": self.uid(index), "url": pool.url, "user": pool.user}
            for index, pool in enumerate(self.machine.pools)
            if pool.url
        ]
        return {"load_balance_strategy": {"quota": {"value": 1}}, "name": self.group_name, "pools": pools, "uid": "0"}

    def _pools(self, request: HttpRequest) -> HttpReply:
        """Replace all groups. This machine holds one (chosen; the real one holds several)."""
        try:
            found = msgspec.json.decode(request.body)
        except msgspec.DecodeError:
            return refused(400, "Invalid JSON")
        groups = found if isinstance(found, list) else []
        rows = [row for group in groups if isinstance(group, dict) for row in group.get("pools", [])]
        pools = [_pool(row) for row in rows]
        if len(groups) != 1 or not pools or len(pools) > POOL_COUNT or None in pools:
            return refused(400, "Invalid pool groups: expected one group of one to three pools")
        self.machine.change(
            pools=tuple(pool for pool in pools if pool is not None), group_name=str(groups[0].get("name", ""))
        )
        return json_reply([self.group()])

    # Power and cooling.

    @property
    def frequency_share(self) -> float:
        """The frequency that the power target allows over the nominal."""
        model = self.machine.model
        return min(frequency_share_for((self.power_target_w - model.idle_w) / (model.power_w - model.idle_w)), 1.0)

    def _power_target(self, request: HttpRequest) -> HttpReply:
        watt = (json_object(request.body) or {}).get("watt")
        low, _, high = self.watts
        if not isinstance(watt, int) or not low <= watt <= high:
            return refused(400, f"Power target {watt} is out of range {low}..{high} W")
        self.machine.change(power_target_w=watt, power_limit_w=float(watt))
        return json_reply({"watt": watt})

    def _cooling(self, request: HttpRequest) -> HttpReply:
        mode = json_object(request.body) or {}
        if set(mode) not in ({"auto"}, {"manual"}):
            return refused(400, "Invalid cooling mode")
        self.machine.change(cooling=mode)
        return json_reply(mode)

    def _network(self, request: HttpRequest) -> HttpReply:
        name = (json_object(request.body) or {}).get("hostname")
        if isinstance(name, str):
            if not 1 <= len(name) <= 63:
                return refused(400, "Invalid hostname")
            self.machine.change(hostname=name)
        return json_reply({"hostname": self.machine.settings.hostname, "protocol": {"dhcp": {}}})

    # Actions: each answers whether it was so already.

    def _rest(self, *, stopped: bool) -> HttpReply:
        already = self.machine.asleep
        self.machine.change(asleep=True, is_stopped=stopped, restarts=not already)
        return json_reply(already)

    def _work(self) -> HttpReply:
        already = not self.machine.asleep
        self.machine.change(asleep=False, restarts=not already)
        return json_reply(already)

    def _reboot(self, _: HttpRequest) -> HttpReply:
        self.machine.change(then=self.machine.reboot)
        return DONE

    def _restart(self, _: HttpRequest) -> HttpReply:
        self.machine.change(restarts=True)
        return json_reply(True)  # noqa: FBT003 -- the document itself

    def _flash(self, request: HttpRequest) -> HttpReply:
        """The machine itself compares size and hash; that the part ``data`` holds the bytes as they are is chosen."""
        parts = form_parts(request.headers.get("content-type", ""), request.body)
        stated, image = json_object(parts.get("metadata", b"")) or {}, parts.get("data", b"")
        if (stated.get("size"), stated.get("hash")) != (len(image), hashlib.sha256(image).hexdigest()):
            return refused(500, "size or hash of the image differs")
        try:
            self.machine.slots.begin(self.machine, image)
        except BadImageError as error:
            return refused(409 if self.machine.slots.pending else 500, str(error))
        return DONE

    def _locate(self, request: HttpRequest) -> HttpReply:
        if request.body.strip() not in {b"true", b"false"}:
            return refused(400, "expected true or false")
        wanted = request.body.strip() == b"true"
        self.machine.change(blinking=wanted)
        return json_reply(wanted)


def _pool(row: object) -> PoolEntry | None:
    if not isinstance(row, dict):
        return None
    texts = [row.get("url"), row.get("user"), row.get("password") or ""]
    if not all(isinstance(text, str) for text in texts) or not texts[0]:
        return None
    return PoolEntry(*map(str, texts))
