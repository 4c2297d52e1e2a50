"""A server of Stratum V2 on which bytes decide what its clients do, for hypothesis and for atheris.

The bytes choose steps: messages of the protocol with fields of their choice, frames of junk, streams cut anywhere, new
jobs, time that passes. After every step what must always hold is looked at; an exception of the server's is a finding.
"""

import asyncio
import itertools
from pathlib import Path
from typing import Any

from mbongi.pool.daemon.connection import PoolConnection
from mbongi.pool.daemon.custom_jobs import CustomJobs
from mbongi.pool.daemon.declaration_session import DeclarationSession
from mbongi.pool.daemon.declarator import Declarator
from mbongi.pool.daemon.gate import Limits
from mbongi.pool.daemon.server import Difficulty, PoolServer
from mbongi.pool.daemon.share_log import LoggedShare, ShareLog, files_of, read_shares
from mbongi.pool.daemon.v2 import V2Session
from mbongi.pool.daemon.v2_link import V2Connection
from mbongi.pool.rules.tokens import Kind, Tokens
from mbongi.run.pool_identity import Identity
from mbongi.wire.bitcoin.target import target_of_difficulty
from mbongi.wire.noise.handshake import ACT_2_BYTES, Initiator
from mbongi.wire.noise.transport import FrameDecryptor, encrypt_frame
from mbongi.wire.stratum_v2 import extensions, job_declaration, mining, registry, setup
from mbongi.wire.stratum_v2.frames import pack_frame
from mbongi.wire.stratum_v2.layout import Message
from tests.pool.daemon.declaring_bed import OURS, JudgingNode
from tests.pool.daemon.test_server import job
from tests.pool.v2_declarer import Brought

FREE = 2.0**-31
"""Every second hash is a share, so that the way to the log is gone often."""
STEPS_MAX = 40
BUFFERED_BYTES_MAX = 16 * 1024 * 1024
NAMES = (*["acct.a"] * 5, "", "x" * 200, "\udcff")
RATES = (*[0.0] * 6, 1.0, 1e3, 1e30, -1.0, float("nan"), float("inf"))
TARGETS = (*[(1 << 256) - 1] * 6, 0, 1, 1 << 224)


class Choices:
    """Bytes as choices; when they are used up, every choice is the first."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def is_over(self) -> bool:
        return self._at >= len(self._data)

    def number(self, size: int = 1) -> int:
        return int.from_bytes(self.take(size).ljust(size, b"\0"), "little")

    def take(self, size: int) -> bytes:
        found = self._data[self._at : self._at + size]
        self._at += size
        return found

    def of(self, *options: Any) -> Any:
        return options[self.number() % len(options)]


class Line(asyncio.Transport):
    """The server's end of a connection; what it writes is kept."""

    def __init__(self, peer: str) -> None:
        super().__init__({"peername": (peer, 1)})
        self.written = bytearray()
        self.connection: PoolConnection | None = None
        self.is_open = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        return

    def abort(self) -> None:
        if self.is_open and self.connection is not None:
            self.is_open = False
            self.connection.connection_lost(None)

    def close(self) -> None:
        self.abort()

    def is_closing(self) -> bool:
        return not self.is_open


class Client:
    """A connection after its handshake: it seals what it is told to say, and remembers jobs and tokens it heard."""

    def __init__(self, connection: V2Connection, peer: str) -> None:
        self.connection, self.line = connection, Line(peer)
        self.line.connection = connection
        connection.connection_made(self.line)
        initiator = Initiator(None)
        connection.data_received(initiator.act_1())
        session = initiator.finish(bytes(self.line.written[:ACT_2_BYTES]), now_s=0, tolerance_s=0)
        self._sending = session.sending
        self._decryptor = FrameDecryptor(session.receiving, payload_bytes_max=1 << 24)
        self._read = ACT_2_BYTES
        self.jobs: list[int] = [0]
        self.tokens: list[bytes] = [b""]
        self.heard: list[Message] = []

    def say(self, frame: bytes, cut: int = 0) -> None:
        sealed = encrypt_frame(self._sending, frame)
        for part in (sealed[:cut], sealed[cut:]):
            if part and self.line.is_open:
                self.connection.data_received(part)

    def hear(self) -> None:
        new, self._read = bytes(self.line.written[self._read :]), len(self.line.written)
        for frame in self._decryptor.feed(new):
            message = registry.decode(self.connection.speaks, frame.message_type, frame.payload, frame.extension_type)
            self.heard.append(message)
            self.jobs += [message.job_id] if hasattr(message, "job_id") else []
            for name in ("mining_job_token", "new_mining_job_token"):
                self.tokens += [getattr(message, name)] if hasattr(message, name) else []


class Rig:
    """A server and its clients, in a folder; ``run`` as often as wanted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        limits = Limits(connections_max=10_000, strikes_max=1 << 30, bytes_per_s_max=1e12, bytes_per_s_per_address=1e12)
        self.server = PoolServer(
            ShareLog(folder / "shares"),
            on_block=lambda *_: None,
            difficulty=Difficulty(start=FREE, minimum=FREE, shares_per_minute=60.0),
            limits=limits,
        )
        self.custom = self.server.custom = CustomJobs(
            Tokens(b"key"),
            script=OURS,
            halving_blocks=150,
            allows_coinbase_only=True,
            current=lambda: self.server.current_job,
            now_s=self.server.now_s,
            unix_s=self.server.now_s,
        )
        self.node = JudgingNode()
        self.declarator = Declarator(self.server, self.custom, [self.node], lambda: ())
        self._identity = Identity(folder / "secrets")
        self._tips = itertools.cycle(range(1, 200))
        self._peers = itertools.count()
        self._offset_s = 0.0
        self._counted = 0

    async def run(self, data: bytes) -> None:
        """What the bytes choose; then an honest miner is served as ever."""
        choices = Choices(data)
        self.server.publish(job(self.server, tip=next(self._tips)))
        clients = [self._client(choices.of("mining", "mining", "declaring"), choices)]
        for _ in range(STEPS_MAX):
            if choices.is_over:
                break
            client = clients[choices.number() % len(clients)]
            await self._step(choices, client, clients)
            for each in clients:
                each.hear()
            self._look(clients)
        self.server.publish(job(self.server, tip=next(self._tips)))
        await self._honest()
        for each in clients:
            each.line.abort()
        await asyncio.sleep(0)

    def _client(self, what: str, choices: Choices | None = None) -> Client:
        """A client; where there are choices, mostly one that is set up and has a channel or a token."""
        responder, peer = self._identity.responder(), f"10.0.{next(self._peers) % 65_536 // 256}.1"
        if what == "mining":
            made = Client(V2Session(self.server, responder), peer)
            begin: Message = mining.OpenExtendedMiningChannel(1, "acct.a", 0.0, (1 << 256) - 1, 4)
        else:
            made = Client(DeclarationSession(self.server, responder, self.declarator), peer)
            begin = job_declaration.AllocateMiningJobToken("acct.a", 1)
        if choices is not None and choices.number() % 8:
            flags = choices.of(0, 0, 1, 2, 2)
            made.say(registry.encode(_set_up(made, flags)))
            if flags == mining.SetupFlag.REQUIRES_STANDARD_JOBS and what == "mining":
                begin = mining.OpenStandardMiningChannel(1, "acct.a", 0.0, (1 << 256) - 1)
            made.say(registry.encode(begin))
        return made

    async def _step(self, choices: Choices, client: Client, clients: list[Client]) -> None:
        step = choices.number() % 16
        if step == 0:
            client.say(pack_frame(choices.number(2), choices.number(), choices.take(choices.number())))
        elif step == 1 and client.line.is_open:
            client.connection.data_received(choices.take(choices.number()))
        elif step == 2:
            self.server.publish(job(self.server, tip=choices.of(1, next(self._tips))))
        elif step == 3:
            client.connection.look(self.server.now_s() + 10.0 ** choices.of(0, 2, 5))
        elif step == 4 and len(clients) < 3:
            clients.append(self._client(choices.of("mining", "declaring"), choices))
        else:
            message = self._message(choices, client)
            frame = registry.encode(message, choices.take(choices.of(0, 0, 0, 7)))
            client.say(frame, cut=choices.of(0, 0, 1, 23, choices.number(2)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def _message(self, choices: Choices, client: Client) -> Message:
        if choices.number() % 16 == 0:
            return _set_up(client, choices.of(0, 1, 2, 4, 7, 0xFFFF_FFFF))
        if isinstance(client.connection, V2Session):
            return self._mining(choices, client)
        return self._declaring(choices, client)

    def _mining(self, choices: Choices, client: Client) -> Message:
        channel = choices.of(1, 1, 1, 1, 2, 2, 3, 0, 0xFFFF_FFFF, 99)
        known = choices.of(*[client.jobs[-1]] * 4, client.jobs[len(client.jobs) // 2], choices.number(4))
        work = self.server.current_job
        assert work is not None
        time_s, version = (
            work.template.time_s + choices.of(0, 0, 0, 1, 9_000),
            work.template.version ^ choices.of(0, 0, 32, 1),
        )
        fields = channel, choices.number(), known, choices.number(4), time_s, version
        wish = choices.of(*NAMES), choices.of(*RATES), choices.of(*TARGETS)
        made: Message = choices.of(
            mining.OpenStandardMiningChannel(1, *wish),
            mining.OpenExtendedMiningChannel(1, *wish, choices.of(4, 8, 9)),
            mining.UpdateChannel(channel, *wish[1:]),
            mining.CloseChannel(channel, "bye"),
            mining.SubmitSharesStandard(*fields),
            self._custom_job(choices, channel),
            extensions.RequestExtensions(1, (choices.of(2, 9),)),
            mining.SubmitSharesExtended(*fields, choices.take(choices.of(8, 8, 0, 7, 32))),
            mining.SubmitSharesExtended(*fields, bytes([choices.number()]) * 8),
        )
        return made

    def _custom_job(self, choices: Choices, channel: int) -> mining.SetCustomMiningJob:
        token = self.custom.token(choices.of(Kind.COINBASE_ONLY, Kind.COINBASE_ONLY, Kind.DECLARE, Kind.DECLARED))
        return self._brought(choices).custom_job(channel, choices.of(token, token, b"", b"x" * 255))

    def _brought(self, choices: Choices) -> Brought:
        work = self.server.current_job
        assert work is not None
        template = work.template
        return Brought(
            previous_hash=choices.of(*[template.previous_hash] * 5, bytes(32)),
            height_script=choices.of(*[b"\x02\xf4\x01"] * 5, b"", b"\x4b"),
            bits=choices.of(*[template.bits] * 5, 0),
            time_s=template.time_s,
            pool_outputs=self.custom.outputs,
            value_sat=choices.of(*[625_000_000] * 5, 625_000_001, 1),
        )

    def _declaring(self, choices: Choices, client: Client) -> Message:
        token = choices.of(*[client.tokens[-1]] * 4, b"", b"x" * 40)
        match choices.number() % 6:
            case 0 | 5:
                return job_declaration.AllocateMiningJobToken(choices.of(*NAMES), 1)
            case 1:
                given = tuple(choices.take(choices.number()) for _ in range(choices.number() % 3))
                return job_declaration.ProvideMissingTransactionsSuccess(choices.of(1, 9), given)
            case 2:
                nonces = (choices.number(4) for _ in range(4))
                return job_declaration.PushSolution(choices.take(choices.of(12, 0, 32)), bytes(32), *nonces)
            case _:
                message = self._brought(choices).declaration(token)
                ids = tuple(choices.take(32).ljust(32, b"\0") for _ in range(choices.number() % 4))
                changes = {"wtxid_list": ids} if ids else {}
                if choices.number() % 4 == 0:
                    changes["coinbase_tx_prefix"] = choices.take(choices.number())  # type: ignore[assignment]
                return type(message)(**({name: getattr(message, name) for name in message.__struct_fields__} | changes))

    def _look(self, clients: list[Client]) -> None:
        """What must hold after every step."""
        for each in clients:
            decryptor = each.connection._decryptor
            assert decryptor is None or len(decryptor._rest) <= BUFFERED_BYTES_MAX
            assert each.line.is_open == (each.connection in self.server.gate.connections)
        shares = [share for share, _ in self._shares()]
        for share in shares[self._counted :]:
            assert int.from_bytes(share.hash, "little") <= target_of_difficulty(share.difficulty)
        hashes = [share.hash for share in shares]
        assert len(set(hashes)) == len(hashes)
        self._counted = len(shares)

    def _shares(self) -> list[tuple[LoggedShare, str]]:
        return [each for path in files_of(self._folder / "shares") for each in read_shares(path)]

    async def _honest(self) -> None:
        """A miner opens a channel and gets the newest work."""
        honest = self._client("mining")
        honest.say(registry.encode(_set_up(honest, 0)))
        honest.say(registry.encode(mining.OpenExtendedMiningChannel(1, "acct.honest", 0.0, (1 << 256) - 1, 4)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        honest.hear()
        kinds = [type(each) for each in honest.heard]
        assert kinds == [
            setup.SetupConnectionSuccess,
            mining.OpenExtendedMiningChannelSuccess,
            mining.NewExtendedMiningJob,
            mining.SetNewPrevHash,
        ]
        honest.line.abort()


def _set_up(client: Client, flags: int) -> setup.SetupConnection:
    return setup.SetupConnection(int(client.connection.speaks), 2, 2, flags, "", 1, "fuzz", "", "", "")
