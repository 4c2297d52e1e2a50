"""A server of Stratum V1 on which bytes decide what its miners do, for hypothesis and for atheris.

The bytes choose steps: lines with fields of their choice, junk, streams cut anywhere, sessions taken up again, new
jobs, time that passes. After every step what must always hold is looked at; an exception of the server's is a finding.
"""

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

from mbongi.pool.daemon.gate import Limits
from mbongi.pool.daemon.server import Difficulty, PoolServer
from mbongi.pool.daemon.share_log import LoggedShare, ShareLog, files_of, read_shares
from mbongi.pool.daemon.v1 import V1Session
from mbongi.wire.bitcoin.target import target_of_difficulty
from tests.pool.daemon.fuzz_v2 import FREE, STEPS_MAX, Choices, Line
from tests.pool.daemon.test_server import job

WORKERS = (*["acct.a"] * 4, "acct.b", "", "x" * 300, "a\0b", "\ud800", " acct.a ", 7, None, ["acct.a"])
NUMBERS = (*[1.0] * 4, FREE, 0, -1, 1e308, 1e-308, "1", "nan", None, True, [], "ff" * 32, "é" * 90, 10**400)
IDS = (1, "1", None, 1.5, True, [], {}, "x" * 2000, -1, 10**30)
JUNK = (
    b"", b"[", b"{", b"{}", b"[]", b"null", b"0", b'"', b"\xff\xfe", b"\0", b"[" * 3000, b'{"id":' * 400,
    b'{"id":1,"id":2,"method":"mining.ping"}', b'{"method":"mining.ping","id":1} {}',
    b'{"id":1,"method":7,"params":[]}',
    b'{"id":1,"method":"mining.ping","params":"' + b"x" * 9000 + b'"}', b'{"id":1e999,"method":"mining.ping"}',
    b'{"id":1,"result":true,"error":null}', b"GET / HTTP/1.1\r\n\r", b"\x16\x03\x01\x02\x00",
)  # fmt: skip


class Client:
    """A miner's connection: what it is told is read as any JSON reader would, and must be lines of objects."""

    def __init__(self, server: PoolServer, peer: str) -> None:
        self.session, self.line = V1Session(server), Line(peer)
        self.line.connection = self.session
        self.session.connection_made(self.line)
        self._read = 0
        self._ids = itertools.count(1_000_000)
        self.asked: set[int] = set()
        """The ids of its shares."""
        self.yes: set[int] = set()
        """Those of them that it was told are accepted."""
        self.works: list[list[Any]] = []
        self.sent: list[list[Any]] = []
        self.session_id, self.extranonce2_bytes = "", 0

    def say(self, data: bytes, cut: int = 0) -> None:
        for part in (data[:cut], data[cut:]):
            if part and self.line.is_open:
                self.session.data_received(part)

    def ask(self, method: Any, params: Any, id_: Any = 1, cut: int = 0) -> None:
        self.say(json.dumps({"id": id_, "method": method, "params": params}).encode() + b"\n", cut)

    def share(self, fields: list[Any], cut: int = 0) -> None:
        number = next(self._ids)
        self.asked.add(number)
        self.ask("mining.submit", fields, number, cut)

    def hear(self) -> None:
        new, self._read = bytes(self.line.written[self._read :]), len(self.line.written)
        assert not new or new.endswith(b"\n")
        for raw in new.splitlines():
            line = json.loads(raw)
            assert isinstance(line, dict)
            if line.get("method") == "mining.notify":
                self.works.append(line["params"])
            result, number = line.get("result"), line.get("id")
            if type(number) is int and number in self.asked:
                self.asked.discard(number)
                assert (result is True) is (line["error"] is None)
                if result is True:
                    self.yes.add(number)
            if isinstance(result, list) and len(result) == 3:
                self.session_id, self.extranonce2_bytes = result[0][0][1], result[2]


class Rig:
    """A server and its miners, in a folder; ``run`` as often as wanted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        limits = Limits(connections_max=10_000, strikes_max=1 << 30, bytes_per_s_max=1e12, bytes_per_s_per_address=1e12)
        self.server = PoolServer(
            ShareLog(folder / "shares"),
            on_block=lambda *_: None,
            difficulty=Difficulty(start=FREE, minimum=FREE, shares_per_minute=60.0),
            limits=limits,
        )
        self._tips = itertools.cycle(range(1, 200))
        self._peers = itertools.count()
        self._counted = 0
        self._yes = 0

    async def run(self, data: bytes) -> None:
        """What the bytes choose; then an honest miner is served as ever."""
        choices = Choices(data)
        self.server.publish(job(self.server, tip=next(self._tips)))
        clients = [self._client(choices)]
        for _ in range(STEPS_MAX):
            if choices.is_over:
                break
            self._step(choices, clients[choices.number() % len(clients)], clients)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self._look(clients)
        self.server.publish(job(self.server, tip=next(self._tips)))
        await self._honest()
        for each in clients:
            each.line.abort()
        await asyncio.sleep(0)

    def _client(self, choices: Choices, session: str = "") -> Client:
        """A miner, mostly one that is subscribed and authorized."""
        made = Client(self.server, f"10.1.{next(self._peers) % 65_536 // 256}.1")
        if choices.number() % 8:
            made.ask("mining.configure", [["version-rolling"], {"version-rolling.mask": "1fffe000"}])
            made.ask("mining.subscribe", ["fuzz/1", session] if session else ["fuzz/1"])
            made.ask("mining.authorize", ["acct.a", "x"])
        return made

    def _step(self, choices: Choices, client: Client, clients: list[Client]) -> None:
        cut = choices.of(0, 0, 1, 23, choices.number())
        match choices.number() % 16:
            case 15:
                client.say(choices.of(*JUNK) + choices.of(b"\n", b"\n", b"\r\n", b""), cut)
            case 14:
                client.say(choices.take(choices.number()) + b"\n", cut)
            case 13:
                self.server.publish(job(self.server, tip=choices.of(1, next(self._tips))))
            case 12:
                client.session.look(self.server.now_s() + 10.0 ** choices.of(0, 2, 5))
            case 11 if len(clients) < 4:
                clients.append(self._client(choices, client.session_id))
            case 10:
                client.line.abort()
                if all(not each.line.is_open for each in clients):
                    clients.append(self._client(choices, client.session_id))
            case 7 | 8 | 9:
                self._ask(choices, client, cut)
            case _:
                client.share(self._share(choices, client), cut)

    def _ask(self, choices: Choices, client: Client, cut: int) -> None:
        method = choices.of(*V1Session.handlers, "mining.x", "", None, 7)
        number, worker = choices.of(*NUMBERS), choices.of(*WORKERS)
        wishes = {"version-rolling.mask": choices.of("1fffe000", "ffffffff", "0", "zz", -1), "x": number}
        params = choices.of(
            [number],
            [worker, "x"],
            [["version-rolling", "minimum-difficulty", number], wishes | {"minimum-difficulty.value": number}],
            [worker, client.session_id],
            [],
            None,
            {},
            [[number] * 3],
        )
        client.ask(method, params, choices.of(*IDS), cut)

    def _share(self, choices: Choices, client: Client) -> list[Any]:
        work = client.works[-1] if client.works and choices.number() % 8 else choices.of(*client.works, ["0"] * 9)
        time_s = int(self.server.current_job.template.time_s) if self.server.current_job else 0
        nonce = client.sent[-1][4] if client.sent and choices.number() % 2 else f"{choices.number(2):08x}"
        fields = ["acct.a", work[0], "00" * client.extranonce2_bytes, f"{time_s:08x}", nonce]
        client.sent.append(fields)
        if choices.number() % 4:  # mostly nothing is wrong with it, else one thing
            rolled = choices.of(None, None, "00002000")
            return fields if rolled is None else [*fields, rolled]
        wrong: dict[int, Any] = {
            0: choices.of(*WORKERS),
            1: choices.of(f"{choices.number(4):x}", "-1", "zz", "", 7, None, "0x1", "1_0", "f" * 900),
            2: choices.of(choices.take(client.extranonce2_bytes).hex(), "00" * 5, "0", "zz" * 6, "00" * 400, None, 0),
            3: choices.of(f"{time_s + 9_000:x}", f"{time_s + 1:X}", "0", "-1", "1" * 9, None, time_s),
            4: choices.of(f"{choices.number(4):X}", "zz", "", "1" * 9, "-1", None, 5),
            5: choices.of("20000000", "1fffe000", "e0000000", "zz", 0, -1),
        }
        at = choices.number() % 7
        return [*fields[:at], wrong[at], *fields[at + 1 :]] if at in wrong else fields[:4]

    def _look(self, clients: list[Client]) -> None:
        """What must hold after every step."""
        for each in clients:
            each.hear()
            assert len(each.session._buffer.rest) <= self.server.gate.limits.line_bytes_max
            assert each.line.is_open == (each.session in self.server.gate.connections)
        shares = [share for share, _ in self._shares()]
        for share in shares[self._counted :]:
            assert int.from_bytes(share.hash, "little") <= target_of_difficulty(share.difficulty)
        hashes = [share.hash for share in shares]
        assert len(set(hashes)) == len(hashes)
        told, cut_off = 0, 0
        for each in clients:
            told += len(each.yes)
            cut_off += 0 if each.line.is_open else len(each.asked)
            each.yes.clear()
            each.asked = each.asked if each.line.is_open else set()
        new = len(shares) - self._counted
        assert told <= new <= told + cut_off, "a yes for each share in the log, and a share for each yes"
        self._counted = len(shares)

    def _shares(self) -> list[tuple[LoggedShare, str]]:
        return [each for path in files_of(self._folder / "shares") for each in read_shares(path)]

    async def _honest(self) -> None:
        """A miner begins, is told the newest work, and its share counts."""
        honest = Client(self.server, "10.2.0.1")
        honest.ask("mining.subscribe", ["honest/1"])
        honest.ask("mining.authorize", ["acct.honest", "x"])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        honest.hear()
        current = self.server.current_job
        assert current is not None
        [work] = honest.works
        assert int(work[0], 16) >> 8 == current.number
        for nonce in range(64):  # every second hash is a share
            honest.share(["acct.honest", work[0], "00" * honest.extranonce2_bytes, work[7], f"{nonce:08x}"])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            honest.hear()
            if honest.yes:
                break
        assert len(honest.yes) == 1
        assert not honest.asked
        self._look([honest])
        honest.line.abort()
