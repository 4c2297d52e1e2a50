"""Both ends of the Noise handshake on which bytes decide what the other end says, for hypothesis and for atheris.

A server's connection, of miners or of declarers, gets a first act and frames that are right, changed, cut or made up; a
client gets such a second act. Only the right bytes get an answer, and whoever sends others loses the connection.
"""

import asyncio
import itertools
from pathlib import Path

from mbongi.pool.daemon.custom_jobs import CustomJobs
from mbongi.pool.daemon.declaration_session import DeclarationSession
from mbongi.pool.daemon.declarator import Declarator
from mbongi.pool.daemon.gate import Limits
from mbongi.pool.daemon.server import PoolServer
from mbongi.pool.daemon.share_log import ShareLog
from mbongi.pool.daemon.v2 import V2Session
from mbongi.pool.rules.tokens import Tokens
from mbongi.run.pool_identity import Identity
from mbongi.wire.noise.errors import HandshakeError
from mbongi.wire.noise.handshake import ACT_1_BYTES, ACT_2_BYTES, Initiator
from mbongi.wire.noise.transport import FrameDecryptor, encrypt_frame
from mbongi.wire.stratum_v2 import registry, setup
from tests.pool.daemon.declaring_bed import OURS
from tests.pool.daemon.fuzz_v2 import Choices, Line
from tests.pool.daemon.test_server import job

NOW_S = 1_800_000_000


class Rig:
    """A server and who connects to it, in a folder; ``run`` as often as wanted."""

    def __init__(self, folder: Path) -> None:
        limits = Limits(connections_max=10_000, strikes_max=1 << 30, bytes_per_s_max=1e12, bytes_per_s_per_address=1e12)
        self.server = PoolServer(ShareLog(folder / "shares"), on_block=lambda *_: None, limits=limits)
        custom = CustomJobs(
            Tokens(b"key"),
            script=OURS,
            halving_blocks=150,
            allows_coinbase_only=True,
            current=lambda: self.server.current_job,
            now_s=self.server.now_s,
            unix_s=self.server.now_s,
        )
        self.server.custom = custom
        self._declarator = Declarator(self.server, custom, [], lambda: ())
        self._identity = Identity(folder / "secrets", unix_s=lambda: float(NOW_S))
        self._peers = itertools.count()
        self.server.publish(job(self.server))

    async def run(self, data: bytes) -> None:
        """One connection as the bytes choose, one second act as they choose, and an honest miner."""
        choices = Choices(data)
        await self._connection(choices)
        self._second_act(choices)
        await self._connection(Choices(b""))

    async def _connection(self, choices: Choices) -> None:
        responder, peer = self._identity.responder(), f"10.3.{next(self._peers) % 65_536 // 256}.1"
        is_mining = choices.number() % 3 != 1
        connection = (
            V2Session(self.server, responder)
            if is_mining
            else DeclarationSession(self.server, responder, self._declarator)
        )
        line = Line(peer)
        line.connection = connection
        connection.connection_made(line)
        initiator = Initiator(self._identity.authority_key)
        act_1 = bent(initiator.act_1(), choices)
        is_right = act_1 == initiator.act_1()
        self._feed(connection, line, act_1, choices)
        if len(act_1) < ACT_1_BYTES:
            assert (bytes(line.written), line.is_open) == (b"", True), "it waits for the rest"
            line.abort()
            return
        assert len(line.written) == ACT_2_BYTES
        if not is_right:
            self._feed(connection, line, choices.take(200).ljust(40, b"\x01"), choices)
            assert len(line.written) == ACT_2_BYTES, "nothing is told to who cannot seal"
            assert not line.is_open
            return
        await self._sealed(connection, line, initiator, choices)

    async def _sealed(
        self, connection: V2Session | DeclarationSession, line: Line, initiator: Initiator, choices: Choices
    ) -> None:
        """After a right first act: the pool is who it says, and answers a right frame, and no other."""
        session = initiator.finish(bytes(line.written), now_s=NOW_S, tolerance_s=10)
        wish = setup.SetupConnection(int(connection.speaks), 2, 2, 0, "", 1, "fuzz", "", "", "")
        right = encrypt_frame(session.sending, registry.encode(wish))
        frame = bent(right, choices)
        self._feed(connection, line, frame, choices)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        told = bytes(line.written[ACT_2_BYTES:])
        if frame == right:
            frames = FrameDecryptor(session.receiving, payload_bytes_max=1 << 16).feed(told)
            assert frames
            assert isinstance(registry.decode(connection.speaks, frames[0].message_type, frames[0].payload, 0), (
                setup.SetupConnectionSuccess
            ))  # fmt: skip
        elif not frame.startswith(right):
            assert told == b"", "nothing is told to who cannot seal"
            assert len(frame) < len(right) or not line.is_open
        line.abort()

    def _feed(self, connection: V2Session | DeclarationSession, line: Line, data: bytes, choices: Choices) -> None:
        """All of it, in parts."""
        while data and line.is_open:
            size = choices.of(len(data), 1, 63, 64, 65, choices.number() + 1)
            connection.data_received(data[:size])
            data = data[size:]
        assert line.is_open == (connection in self.server.gate.connections)

    def _second_act(self, choices: Choices) -> None:
        """Another end's second act is taken as it was made for this first act, and in no other way."""
        initiator = Initiator(self._identity.authority_key)
        right, _session = self._identity.responder().answer(initiator.act_1())
        act_2 = bent(right, choices)
        late_s = choices.of(0, 0, -(10**6), 10**6)
        try:
            initiator.finish(act_2, now_s=NOW_S + late_s, tolerance_s=10)
        except HandshakeError:
            is_taken = False
        else:
            is_taken = True
        assert is_taken == (act_2 == right and late_s == 0)


def bent(right: bytes, choices: Choices) -> bytes:
    """The same, or changed in some bytes, cut, made longer, or something else."""
    made = bytearray(right)
    match choices.number() % 8:
        case 1:
            for _ in range(choices.number() % 4 + 1):
                made[choices.number(2) % len(made)] ^= choices.number() or 1
        case 2:
            del made[choices.number(2) % len(made) :]
        case 3:
            made += choices.take(choices.number())
        case 4:
            made[:] = choices.take(choices.number(2) % 400)
        case 5:
            made[:] = choices.take(len(right)).ljust(len(right), choices.of(b"\0", b"\xff"))
    return bytes(made)
