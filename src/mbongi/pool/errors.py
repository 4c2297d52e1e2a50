"""Errors of the pool domain."""

from mbongi.base.errors import MbongiError


class PoolError(MbongiError):
    """Something of the pool could not be done."""


class TemplateError(PoolError, ValueError):
    """A template that contradicts itself, or a coinbase that does not fit one; no miner may work on it."""


class JobError(PoolError, ValueError):
    """Bytes that are no job, or one too large to travel."""


class ShippingError(PoolError, ValueError):
    """Bytes from another machine that are no part of a share log, or not the next part of it."""


class MissingSharesError(ShippingError):
    """A part of a share log whose predecessor has not come. ``size`` bytes of ``file`` are there."""

    def __init__(self, shard: int, file: int, size: int, expected: int) -> None:
        super().__init__(f"shares of shard {shard}, file {file}: {size} bytes are there; expected {expected}")
        self.shard, self.file, self.size = shard, file, size


class ShareLogError(PoolError, OSError):
    """Shares cannot be kept: the disk is full, gone, or not ours. None is accepted until they can."""


class BlockRecordError(PoolError, ValueError):
    """A found block's record that cannot be read."""


class NodeError(PoolError):
    """A node was asked something and gave no answer that can be used."""


class NodeUnreachable(NodeError, ConnectionError):
    """Nobody answers there, or the connection broke."""


class NodeSilent(NodeError, TimeoutError):
    """No answer within the limit."""


class NodeDenied(NodeError, PermissionError):
    """The node does not accept our user and password."""


class NodeWarmingUp(NodeError):
    """The node has started and does not answer yet."""


class NodeRefused(NodeError, ValueError):
    """The node understood and said no; ``code`` is its own."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class NodeGarbled(NodeError, ValueError):
    """An answer that cannot be read."""


class DifficultyError(PoolError, ValueError):
    """A difficulty, a bound of it or a goal of shares that cannot be used."""


class UpstreamError(PoolError):
    """A pool that we speak Stratum V2 to does what the protocol does not allow, or refuses us."""


class PayoutError(PoolError, ValueError):
    """Amounts, fees or work that no payout can be computed from."""


class BalanceError(PoolError, ValueError):
    """An entry that the balances cannot take: its key stands for another entry, or the balance does not cover it."""


class CursorMovedError(PoolError, RuntimeError):
    """Shares to be taken in do not begin where the accounts stand: somebody else took some in meanwhile."""


class ProofError(PoolError, ValueError):
    """A share proof that does not hold, or work that cannot be put into a tree; the message says what is false."""


class ShortOfCoinsError(PayoutError):
    """The coins that may be spent now do not pay for what was asked; ``missing_sat`` says how much more it takes."""

    def __init__(self, message: str, missing_sat: int) -> None:
        super().__init__(message)
        self.missing_sat = missing_sat


class NothingToPayError(PayoutError):
    """No balance may be paid now; ``waiting`` accounts have one that waits."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"payment: nothing to pay; {waiting} accounts wait")
        self.waiting = waiting


class PayoutRefusedError(PayoutError):
    """A step of a payout that the rules do not allow; ``text`` is for the person who asked, in their language."""

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__(message)
        self.text = text or message


class UnknownAccountError(PoolError, LookupError):
    """There is no such account of the pool."""


class UnknownPaymentError(PoolError, LookupError):
    """No such payment, or none that the asker may see."""


class NotPermittedError(PoolError, PermissionError):
    """The asker's role does not permit it."""


class CustomJobError(PoolError, ValueError):
    """A job that a miner brought and that the pool does not take; ``code`` is Stratum V2's for it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"custom job: {message}")
        self.code = code
