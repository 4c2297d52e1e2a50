"""Messages of the job declaration protocol. Source: section 6.4."""

from enum import IntFlag

from mbongi.wire.stratum_v2.datatypes import (
    B0_16M,
    B0_32,
    B0_64K,
    B0_255,
    SEQ0_64K,
    STR0_255,
    U16,
    U32,
    U256,
)
from mbongi.wire.stratum_v2.layout import Message


class SetupFlag(IntFlag):
    """What a client offers: ``SetupConnection.flags``."""

    DECLARE_TX_DATA = 1


class AllocateMiningJobToken(Message, frozen=True, gc=False):
    """A client asks for a token to declare jobs with."""

    user_identifier: STR0_255
    request_id: U32


class AllocateMiningJobTokenSuccess(Message, frozen=True, gc=False):
    """The token, and the outputs that a job has to pay: the pool's first; they begin with their count."""

    request_id: U32
    mining_job_token: B0_255
    coinbase_tx_outputs: B0_64K


class ProvideMissingTransactions(Message, frozen=True, gc=False):
    """The server lacks these transactions, counted from 0 without the coinbase."""

    request_id: U32
    unknown_tx_position_list: SEQ0_64K[U16]


class ProvideMissingTransactionsSuccess(Message, frozen=True, gc=False):
    """The transactions asked for, in that order."""

    request_id: U32
    transaction_list: SEQ0_64K[B0_16M]


class DeclareMiningJob(Message, frozen=True, gc=False):
    """A client proposes a block; the coinbase's parts keep their witness."""

    request_id: U32
    mining_job_token: B0_255
    version: U32
    coinbase_tx_prefix: B0_64K
    coinbase_tx_suffix: B0_64K
    wtxid_list: SEQ0_64K[U256]
    excess_data: B0_64K


class DeclareMiningJobSuccess(Message, frozen=True, gc=False):
    """The block is fine; the new token proves it."""

    request_id: U32
    new_mining_job_token: B0_255


class DeclareMiningJobError(Message, frozen=True, gc=False):
    """The block is not fine."""

    request_id: U32
    error_code: STR0_255
    error_details: B0_64K


class PushSolution(Message, frozen=True, gc=False):
    """A block of the job declared last was found; the extranonce is whole, with its prefix."""

    extranonce: B0_32
    prev_hash: U256
    nonce: U32
    ntime: U32
    nbits: U32
    version: U32
