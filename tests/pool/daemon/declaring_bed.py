"""A server that takes declared jobs, and a node that judges blocks by itself."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from mbongi.pool.daemon.custom_jobs import CustomJobs
from mbongi.pool.daemon.declarator import Declarator
from mbongi.pool.errors import NodeSilent
from mbongi.pool.rules.job import Job, coinbase_of
from mbongi.pool.rules.template import empty_template
from mbongi.pool.rules.tokens import Tokens
from mbongi.wire.bitcoin.block import Block
from mbongi.wire.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from mbongi.wire.bitcoind import TemplateTransaction
from mbongi.wire.errors import WireError
from tests.pool.daemon.fake_node import FakeNode
from tests.pool.daemon.test_server import NUMBERS
from tests.pool.daemon.test_v2 import V2Bed
from tests.pool.v2_declarer import DECLARE_TX_DATA, WORK_SELECTION, Brought, Declarer
from tests.pool.v2_miner import V2Miner

SUBSIDY = 50 * 100_000_000 >> (500 // 150)
OURS = bytes.fromhex("0014751e76e8199196d454941c45d1b3a323f1433bd6")
FEE = 1_000
HEIGHT_500 = b"\x02\xf4\x01"


def spend(number: int, *, witness: bool = True) -> bytes:
    outpoint = OutPoint(bytes([number]) * 32, 0)
    signature = (b"sig", b"key") if witness else ()
    return Transaction(inputs=(TxIn(outpoint=outpoint, witness=signature),), outputs=(TxOut(number, b"\x51"),)).encode()


class JudgingNode(FakeNode):
    """Looks at proposals as a node does: the commitments, and that no more is created than subsidy and fees."""

    def __init__(self) -> None:
        super().__init__("judge")
        self.proposals: list[bytes] = []
        self.says: str | None = None

    async def propose(self, block_hex: Sequence[bytes]) -> str | None:
        if self.is_silent:
            raise NodeSilent("node judge: no answer")
        data = bytes.fromhex(b"".join(block_hex).decode())
        self.proposals.append(data)
        block = Block.parse(data)
        try:
            block.require_commitments()
        except WireError as error:
            return f"bad-commitments: {error}"
        created = sum(each.value_sat for each in Transaction.parse(block.transactions[0]).outputs)
        if created > SUBSIDY + FEE * (len(block.transactions) - 1):
            return "bad-cb-amount"
        return self.says


class JdBed(V2Bed):
    """A server that takes declared jobs. Its chain's target is out of reach unless a test says otherwise."""

    def __init__(self, folder: Path, *, coinbase_only: bool = True, block_target: int = 0) -> None:
        super().__init__(folder)
        self.found: list[tuple[Job, bytes, bytes, str]] = []
        self.server._on_block = lambda *each: self.found.append(each)
        self.node, self.block_target = JudgingNode(), block_target
        self.transactions: list[TemplateTransaction] = []
        self.jobs = CustomJobs(
            Tokens(b"key"),
            script=OURS,
            halving_blocks=150,
            allows_coinbase_only=coinbase_only,
            current=lambda: self.server.current_job,
            now_s=self.server.now_s,
            unix_s=self.server.now_s,
        )
        self.declarator = Declarator(self.server, self.jobs, [self.node], lambda: self.transactions)

    async def __aenter__(self) -> "JdBed":
        await super().__aenter__()
        self.server.custom = self.jobs
        self.publish(1)
        self.jd_port = await self.server.listen_declarations("127.0.0.1", 0, self.identity.responder, self.declarator)
        return self

    def publish(self, tip: int, height: int = 500) -> None:
        template = empty_template(
            height=height,
            previous_hash=bytes([tip]) * 32,
            version=0x2000_0000,
            bits=0x1D00FFFF,
            time_s=int(self.server.now_s()),
            time_min_s=int(self.server.now_s()) - 600,
            subsidy_sat=SUBSIDY,
        )
        template = dataclasses.replace(template, target=self.block_target or template.target)
        number = next(NUMBERS)
        coinbase = coinbase_of(template, [TxOut(SUBSIDY, OURS)], b"/t/", number)
        self.server.publish(Job(number, template, coinbase, made_at_s=self.server.now_s()))

    async def declarer(self, flags: int = DECLARE_TX_DATA) -> Declarer:
        made = await Declarer.shake_hands(self.jd_port, self.identity.authority_key, now_s=int(self.server.now_s()))
        await made.set_up(flags)
        return made

    async def miner(self) -> V2Miner:
        made = await self.connect()
        await made.set_up(WORK_SELECTION)
        await made.open_channel(extended=True, work=False)
        return made

    def block(self, pool_outputs: bytes, *transactions: bytes, tip: int = 1) -> Brought:
        return Brought(
            bytes([tip]) * 32,
            HEIGHT_500,
            0x1D00FFFF,
            int(self.server.now_s()),
            pool_outputs,
            SUBSIDY + FEE * len(transactions),
            list(transactions),
        )
