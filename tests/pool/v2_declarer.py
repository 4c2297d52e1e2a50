"""A Job Declaration client: declares blocks, and mines on them over a connection of its own."""

import struct
from dataclasses import dataclass, field

from mbongi.wire.bitcoin.hashing import coinbase_branch
from mbongi.wire.bitcoin.transaction import Transaction
from mbongi.wire.stratum_v2 import job_declaration, mining, setup
from tests.pool.practice import double
from tests.pool.v2_miner import V2Miner

DECLARE_TX_DATA = job_declaration.SetupFlag.DECLARE_TX_DATA
WORK_SELECTION = mining.SetupFlag.REQUIRES_WORK_SELECTION


class Declarer(V2Miner):
    """One connection to the Job Declaration server."""

    speaks = setup.Protocol.JOB_DECLARATION

    async def token(self, user: str = "acct.jd") -> job_declaration.AllocateMiningJobTokenSuccess:
        self.say(job_declaration.AllocateMiningJobToken(user, 3))
        return await self.hear(job_declaration.AllocateMiningJobTokenSuccess)


@dataclass
class Brought:
    """A block that a miner chose, from the outputs that the pool asked for."""

    previous_hash: bytes
    height_script: bytes
    bits: int
    time_s: int
    pool_outputs: bytes
    value_sat: int
    transactions: list[bytes] = field(default_factory=list)
    version: int = 0x2000_0000

    @property
    def outputs(self) -> bytes:
        """The pool's with all the value, and the commitment to witnesses, by BIP 141."""
        count, script = self.pool_outputs[0], self.pool_outputs[9:]
        assert count == 1
        level = [bytes(32), *(double(each) for each in self.transactions)]
        while len(level) > 1:
            level += level[-1:] * (len(level) % 2)
            level = [double(level[at] + level[at + 1]) for at in range(0, len(level), 2)]
        commitment = b"\x6a\x24\xaa\x21\xa9\xed" + double(level[0] + bytes(32))
        return b"\2" + struct.pack("<q", self.value_sat) + script + bytes(8) + b"\x26" + commitment

    @property
    def start(self) -> bytes:
        return self.height_script + b"\x03jdc"

    @property
    def branch(self) -> tuple[bytes, ...]:
        return tuple(coinbase_branch([Transaction.parse(each).txid for each in self.transactions]))

    def halves(self, *, witness: bool = False) -> tuple[bytes, bytes]:
        before = b"\x01" + bytes(32) + b"\xff" * 4 + bytes([len(self.start) + 12]) + self.start
        after = b"\xff" * 4 + self.outputs
        if witness:
            return b"\2\0\0\0\0\1" + before, after + b"\x01\x20" + bytes(32) + bytes(4)
        return b"\2\0\0\0" + before, after + bytes(4)

    def declaration(self, token: bytes, request_id: int = 1) -> job_declaration.DeclareMiningJob:
        wtxids = tuple(double(each) for each in self.transactions)
        halves = self.halves(witness=True)
        return job_declaration.DeclareMiningJob(request_id, token, self.version, *halves, wtxids, b"")

    def custom_job(self, channel: int, token: bytes, request_id: int = 1) -> mining.SetCustomMiningJob:
        return mining.SetCustomMiningJob(
            channel_id=channel,
            request_id=request_id,
            mining_job_token=token,
            version=self.version,
            prev_hash=self.previous_hash,
            min_ntime=self.time_s,
            nbits=self.bits,
            coinbase_tx_version=2,
            coinbase_prefix=self.start,
            coinbase_tx_input_sequence=0xFFFF_FFFF,
            coinbase_tx_outputs=self.outputs,
            coinbase_tx_locktime=0,
            merkle_path=self.branch,
        )

    def turn_to(self, miner: V2Miner, job_id: int) -> None:
        """Have a miner work on it, as its own job."""
        miner.job = mining.NewExtendedMiningJob(
            miner.channel, job_id, self.time_s, self.version, bool(1), self.branch, *self.halves()
        )
        miner.tip = mining.SetNewPrevHash(miner.channel, job_id, self.previous_hash, self.time_s, self.bits)
