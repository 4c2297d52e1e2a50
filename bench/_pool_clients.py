"""The miners of ``bench pool``, in a process of their own: many connections, each share valid and sent by itself.

Told what to do in lines on stdin: ``shares N`` has every connection send one share after the other has been answered, N
rounds; ``wait`` waits until every connection has the next work. Answers in lines of JSON.
"""

import asyncio
import json
import sys
import time
from typing import cast

import uvloop

from bench.harness import allow_files
from mbongi.wire.noise.handshake import ACT_2_BYTES, Initiator
from mbongi.wire.noise.transport import FrameDecryptor, encrypt_frame
from mbongi.wire.stratum_v2 import mining, registry, setup
from mbongi.wire.stratum_v2.layout import Message

WAIT_S_MAX = 300.0


class Client(asyncio.Protocol):
    """One miner."""

    def __init__(self, crowd: "Crowd", number: int) -> None:
        self.crowd, self.number = crowd, number
        self.transport: asyncio.Transport | None = None
        self.rest = b""
        self.job = b""
        self.time = b""
        self.nonce = 0
        self.extranonce2 = b"%016x" % number

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say everything at once."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(
            b'{"id":1,"method":"mining.subscribe","params":["bench/1"]}\n'
            b'{"id":2,"method":"mining.authorize","params":["acct.%d","x"]}\n' % self.number
        )

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's
        """A pool that drops an honest miner has lost its shares."""
        self.crowd.lost += 1

    def data_received(self, data: bytes) -> None:
        """Work, and answers to shares."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            if b'"method":"mining.notify"' in line:
                fields = json.loads(line)["params"]
                self.job, self.time = fields[0].encode(), fields[7].encode()
                self.crowd.got_work()
            elif b'"id":9,' in line:
                self.crowd.answered(ok=b"true" in line)
            elif b'"id":1,' in line:
                self.extranonce2 = self.extranonce2[-2 * json.loads(line)["result"][2] :]

    def submit(self) -> None:
        """A share that nobody sent before."""
        self.nonce += 1
        assert self.transport is not None
        self.transport.write(
            b'{"params":["acct.%d","%b","%b","%b","%08x"],"id":9,"method":"mining.submit"}\n'
            % (self.number, self.job, self.extranonce2, self.time, self.nonce)
        )


class V2Client(asyncio.Protocol):
    """One miner in Stratum V2, with one extended channel."""

    def __init__(self, crowd: "Crowd", number: int) -> None:
        self.crowd, self.number = crowd, number
        self.transport: asyncio.Transport | None = None
        self.initiator: Initiator | None = Initiator(None)
        self.act_2 = b""
        self.job: mining.NewExtendedMiningJob | None = None
        self.time_s = self.nonce = self.channel = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self.transport = cast("asyncio.Transport", transport)
        assert self.initiator is not None
        self.transport.write(self.initiator.act_1())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's
        """A pool that drops an honest miner has lost its shares."""
        self.crowd.lost += 1

    def data_received(self, data: bytes) -> None:
        """The end of the handshake, work, and answers to shares."""
        if self.initiator is not None:
            self.act_2 += data
            if len(self.act_2) < ACT_2_BYTES:
                return
            session = self.initiator.finish(self.act_2[:ACT_2_BYTES], now_s=0, tolerance_s=0)
            self.initiator, data = None, self.act_2[ACT_2_BYTES:]
            self.sending = session.sending
            self.decryptor = FrameDecryptor(session.receiving, payload_bytes_max=1 << 20)
            self.say(setup.SetupConnection(0, 2, 2, 0, "", 1, "bench", "1", "1", ""))
            self.say(mining.OpenExtendedMiningChannel(1, f"acct.{self.number}", 0.0, (1 << 256) - 1, 4))
        for frame in self.decryptor.feed(data):
            self.take(registry.decode(setup.Protocol.MINING, frame.message_type, frame.payload))

    def take(self, message: Message) -> None:
        """One message."""
        if isinstance(message, mining.SubmitSharesSuccess):
            for _ in range(message.new_submits_accepted_count):
                self.crowd.answered(ok=True)
        elif isinstance(message, mining.SubmitSharesError):
            self.crowd.answered(ok=False)
        elif isinstance(message, mining.NewExtendedMiningJob):
            self.job, self.channel = message, message.channel_id
        elif isinstance(message, mining.SetNewPrevHash):
            self.time_s = message.min_ntime
            self.crowd.got_work()

    def say(self, message: Message) -> None:
        """Seal and send."""
        assert self.transport is not None
        self.transport.write(encrypt_frame(self.sending, registry.encode(message)))

    def submit(self) -> None:
        """A share that nobody sent before."""
        self.nonce += 1
        job = self.job
        assert job is not None
        self.say(
            mining.SubmitSharesExtended(
                self.channel, self.nonce, job.job_id, self.nonce, self.time_s, job.version, bytes(8)
            )
        )


class Crowd:
    """All miners of the process."""

    def __init__(self) -> None:
        self.clients: list[Client | V2Client] = []
        self.works = self.accepted = self.refused = self.lost = 0
        self.pending = 0
        self.done = asyncio.Event()
        self.last_work_s = 0.0

    def got_work(self) -> None:
        """Somebody got work."""
        self.works += 1
        self.last_work_s = time.monotonic()
        if self.works == len(self.clients):
            self.done.set()

    def answered(self, *, ok: bool) -> None:
        """A share was answered."""
        self.accepted += ok
        self.refused += not ok
        self.pending -= 1
        if self.pending == 0:
            self.done.set()

    async def shares(self, rounds: int) -> dict[str, float]:
        """So many shares from each."""
        for _ in range(rounds):
            self.pending = len(self.clients)
            self.done.clear()
            for place, client in enumerate(self.clients):
                client.submit()
                if place % 50 == 49:
                    await asyncio.sleep(0)
            async with asyncio.timeout(60):
                await self.done.wait()
        return {"accepted": self.accepted, "refused": self.refused, "lost": self.lost}

    async def wait(self) -> dict[str, float]:
        """Until everybody has the next work."""
        async with asyncio.timeout(WAIT_S_MAX):
            await self.done.wait()
        return {"last_s": self.last_work_s}


async def main() -> None:
    """Connect, then do what stdin says."""
    task = json.loads(sys.stdin.readline())
    crowd, loop = Crowd(), asyncio.get_running_loop()
    make = V2Client if task["v2"] else Client
    crowd.clients = [make(crowd, number) for number in range(task["clients"])]
    for client in crowd.clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", task["port"])  # type: ignore[misc]
    await crowd.wait()
    print(json.dumps({"connected": len(crowd.clients)}), flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while words := (await reader.readline()).split():
        if words[0] == b"shares":
            print(json.dumps(await crowd.shares(int(words[1]))), flush=True)
        elif words[0] == b"ready":
            crowd.works = 0
            crowd.done.clear()
            print(json.dumps({}), flush=True)
        else:
            print(json.dumps(await crowd.wait()), flush=True)


if __name__ == "__main__":
    allow_files(25_000)
    uvloop.run(main())
