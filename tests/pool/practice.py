"""A miner that hashes on the processor: what the pool's tests stand on."""

import asyncio
import contextlib
import itertools
import json
import ssl
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Self

from mbongi.wire.bitcoin.target import target_of_difficulty


def double(data: bytes) -> bytes:
    return sha256(sha256(data).digest()).digest()


@dataclass
class Work:
    """The last ``mining.notify``."""

    job: str
    previous: bytes
    before: bytes
    after: bytes
    branch: list[bytes]
    version: int
    bits: int
    time_s: int
    clean: bool

    @classmethod
    def of(cls, params: list[Any]) -> Self:
        job, previous, before, after, branch, version, bits, time_text, clean = params
        words = bytes.fromhex(previous)
        return cls(
            job,
            b"".join(words[at : at + 4][::-1] for at in range(0, 32, 4)),
            bytes.fromhex(before),
            bytes.fromhex(after),
            [bytes.fromhex(each) for each in branch],
            int(version, 16),
            int(bits, 16),
            int(time_text, 16),
            clean,
        )


class Miner:
    """A Stratum V1 client written from the protocol's description; it shares no code with the pool but a target."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._ids = itertools.count(1)
        self.work: Work | None = None
        self.difficulty = 1.0
        self.session = ""
        self.extranonce1 = b""
        self.extranonce2_size = 0
        self.notices: list[dict[str, Any]] = []
        self.found = b""
        """The hash of the last share."""

    @classmethod
    async def connect(
        cls, port: int, *, worker: str = "acct.one", session: str = "", tls: ssl.SSLContext | None = None
    ) -> Self:
        """Subscribe with version rolling, authorize, and wait for the first work."""
        miner = cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls))
        try:
            await miner._begin(worker, session)
        except BaseException:
            miner.close()
            raise
        return miner

    async def _begin(self, worker: str, session: str) -> None:
        rolling = {"version-rolling.mask": "1fffe000", "version-rolling.min-bit-count": 2}
        await self.ask("mining.configure", [["version-rolling"], rolling])
        answer = (await self.ask("mining.subscribe", ["test/1.0", session] if session else ["test/1.0"]))["result"]
        self.session = answer[0][0][1]
        self.extranonce1, self.extranonce2_size = bytes.fromhex(answer[1]), answer[2]
        assert (await self.ask("mining.authorize", [worker, "x"]))["result"] is True
        while self.work is None:
            await self.read()

    async def ask(self, method: str, params: list[Any]) -> dict[str, Any]:
        number = next(self._ids)
        self._writer.write(json.dumps({"id": number, "method": method, "params": params}).encode() + b"\n")
        while True:
            line = await self.read()
            if line.get("id") == number:
                return line

    async def read(self) -> dict[str, Any]:
        """The next line; work and difficulty are taken from it."""
        async with asyncio.timeout(20):
            raw = await self._reader.readline()
        if not raw:
            raise ConnectionResetError("the pool closed the connection")
        line: dict[str, Any] = json.loads(raw)
        if line.get("method") == "mining.notify":
            self.work = Work.of(line["params"])
        elif line.get("method") == "mining.set_difficulty":
            self.difficulty = line["params"][0]
        if line.get("method"):
            self.notices.append(line)
        return line

    async def read_on(self) -> None:
        """Read whatever comes, until the pool closes the connection."""
        while True:
            with contextlib.suppress(TimeoutError):
                await self.read()

    async def drain(self, for_s: float = 0.2) -> None:
        """Read what arrives within a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                while True:
                    await self.read()

    async def catch_up(self, number: int) -> None:
        """Read until the work is of the pool's job with this number; the last byte of a job's id is of the miner."""
        while self.work is None or int(self.work.job, 16) >> 8 != number:
            await self.read()

    def solve(
        self, *, target: int | None = None, extranonce2: int = 0, rolled: int = 0, nonces: int = 1 << 24
    ) -> list[str]:
        """Hash until a share meets the target; the parameters of its submit, without the worker."""
        work = self.work
        assert work is not None
        limit = target_of_difficulty(self.difficulty) if target is None else target
        second = extranonce2.to_bytes(self.extranonce2_size, "big")
        root = double(work.before + self.extranonce1 + second + work.after)
        for each in work.branch:
            root = double(root + each)
        version = (work.version & ~0x1FFFE000) | rolled if rolled else work.version
        head = b"".join((
            version.to_bytes(4, "little"),
            work.previous,
            root,
            work.time_s.to_bytes(4, "little"),
            work.bits.to_bytes(4, "little"),
        ))  # fmt: skip
        for nonce in range(nonces):
            self.found = double(head + nonce.to_bytes(4, "little"))
            if int.from_bytes(self.found, "little") <= limit:
                fields = [work.job, second.hex(), f"{work.time_s:08x}", f"{nonce:08x}"]
                return [*fields, f"{rolled:08x}"] if rolled else fields
        raise AssertionError("no nonce meets the target")

    async def submit(self, fields: list[str], worker: str = "acct.one") -> dict[str, Any]:
        """Submit a share."""
        return await self.ask("mining.submit", [worker, *fields])

    @property
    def certificate(self) -> bytes:
        """What the pool was known by over TLS, in DER."""
        shown: bytes = self._writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return shown

    def close(self) -> None:
        self._writer.close()
