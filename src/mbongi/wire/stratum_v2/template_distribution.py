"""Messages of the template distribution protocol, which a node speaks. Source: section 7."""

from mbongi.wire.stratum_v2.datatypes import (
    B0_16M,
    B0_64K,
    B0_255,
    BOOL,
    SEQ0_64K,
    SEQ0_255,
    STR0_255,
    TARGET,
    U16,
    U32,
    U64,
    U256,
)
from mbongi.wire.stratum_v2.layout import Message


class CoinbaseOutputConstraints(Message, frozen=True, gc=False):
    """Room that the node has to leave for our outputs: size [byte] and signature operations."""

    coinbase_output_max_additional_size: U32
    coinbase_output_max_additional_sigops: U16


class NewTemplate(Message, frozen=True, gc=False):
    """A block to mine. Its outputs come last in the coinbase and have no count before them; values [sat]."""

    template_id: U64
    future_template: BOOL
    version: U32
    coinbase_tx_version: U32
    coinbase_prefix: B0_255
    coinbase_tx_input_sequence: U32
    coinbase_tx_value_remaining: U64
    coinbase_tx_outputs_count: U32
    coinbase_tx_outputs: B0_64K
    coinbase_tx_locktime: U32
    merkle_path: SEQ0_255[U256]


class SetNewPrevHash(Message, frozen=True, gc=False):
    """A block was found: this template is to be mined now."""

    template_id: U64
    prev_hash: U256
    header_timestamp: U32
    nbits: U32
    target: TARGET


class RequestTransactionData(Message, frozen=True, gc=False):
    """A client wants a template's transactions."""

    template_id: U64


class RequestTransactionDataSuccess(Message, frozen=True, gc=False):
    """The transactions without the coinbase; all of it opaque."""

    template_id: U64
    excess_data: B0_64K
    transaction_list: SEQ0_64K[B0_16M]


class RequestTransactionDataError(Message, frozen=True, gc=False):
    """The transactions are not to be had."""

    template_id: U64
    error_code: STR0_255


class SubmitSolution(Message, frozen=True, gc=False):
    """A template's block was found; the coinbase keeps its witness."""

    template_id: U64
    version: U32
    header_timestamp: U32
    header_nonce: U32
    coinbase_tx: B0_64K
