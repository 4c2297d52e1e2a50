"""The JSON-RPC of Bitcoin nodes: questions, answers, and the documents that a pool reads.

Fields: BIP 22, BIP 23 and BIP 145 for templates; Bitcoin Core's RPC help for the others. What a node leaves out has the
default given here.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from mbongi.wire.errors import WireError

Document = TypeVar("Document")
_encode = msgspec.json.Encoder().encode
WARMING_UP = -28
"""RPC_IN_WARMUP: the node has started and does not answer yet."""
METHOD_NOT_FOUND = -32601


class RpcFault(WireError):
    """The node understood the question and refuses an answer; ``code`` is its own."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"node error {code}: {message}")
        self.code = code


class TemplateTransaction(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """A transaction of a template; ``hash`` covers the witness and ``txid`` does not.

    ``data`` is its hex, quoted and unread: it is most of the answer, and is looked at where it lies.
    """

    data: msgspec.Raw
    txid: str
    hash: str = ""
    depends: list[int] = []
    fee: int = 0
    sigops: int = 0
    weight: int = 0

    @property
    def hex(self) -> memoryview:
        """Its bytes in hex, as the node wrote them: nobody has looked yet whether they are."""
        return memoryview(self.data)[1:-1]


class BlockTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """``getblocktemplate``."""

    version: int
    previousblockhash: str
    transactions: list[TemplateTransaction]
    coinbasevalue: int
    curtime: int
    mintime: int
    bits: str
    height: int
    target: str = ""
    longpollid: str = ""
    sigoplimit: int = 0
    sizelimit: int = 0
    weightlimit: int = 0
    default_witness_commitment: str = ""
    rules: list[str] = []
    """In force; one with a leading ``!`` must be understood by whoever mines (BIP 9)."""
    vbavailable: dict[str, int] = {}
    vbrequired: int = 0
    """Bits of the version that must stay set."""
    mutable: list[str] = []
    capabilities: list[str] = []
    fees: int | None = None
    """Of all transactions; None where each transaction states its own. Only template providers of Stratum V2 set it.

    What follows are the coinbase's version, sequence and lock time, which only sources beside a node set."""
    coinbase_version: int = 2
    coinbase_sequence: int = 0xFFFF_FFFF
    coinbase_lock_time: int = 0


class ChainInfo(msgspec.Struct, frozen=True, kw_only=True):
    """``getblockchaininfo``. Nodes that do not state ``initialblockdownload`` count as past it."""

    chain: str
    blocks: int
    headers: int
    bestblockhash: str
    chainwork: str = ""
    mediantime: int = 0
    initialblockdownload: bool = False
    verificationprogress: float = 1.0


class HeaderInfo(msgspec.Struct, frozen=True, kw_only=True):
    """``getblockheader``. ``confirmations`` is -1 for a block outside the best chain; ``bits`` is hex or a number."""

    hash: str
    height: int
    confirmations: int
    version: int
    time: int
    mediantime: int
    bits: str | int
    previousblockhash: str | None = None

    @property
    def bits_number(self) -> int:
        """The compact target."""
        return self.bits if isinstance(self.bits, int) else int(self.bits, 16)


class _Answer(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: Any = None


_answer = msgspec.json.Decoder(_Answer).decode


def question(method: str, arguments: list[Any]) -> bytes:
    """A question's body."""
    return _encode({"jsonrpc": "1.0", "id": 0, "method": method, "params": arguments})


def submit_parts(block_hex: Sequence[bytes]) -> list[bytes]:
    """``submitblock`` of a block in parts, which are hex and need no escapes; they are not copied."""
    return [b'{"jsonrpc":"1.0","id":0,"method":"submitblock","params":["', *block_hex, b'"]}']


def answer(body: bytes, kind: type[Document]) -> Document:
    """What a node answered. Raises RpcFault for its refusal, WireError for what cannot be read."""
    try:
        found = _answer(body)
        if found.error is not None:
            raise _fault(found.error)
        return msgspec.json.decode(found.result, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"node answer: {error}; it begins {body[:40]!r}") from error


def _fault(error: Any) -> RpcFault:
    fields = error if isinstance(error, dict) else {}
    code, message = fields.get("code"), fields.get("message")
    return RpcFault(code if isinstance(code, int) else 0, str(message if message is not None else error)[:300])
