"""One message of every kind, with values that differ from field to field, and strategies that make any message.

The two uneven rates are the floats of four bytes nearest to 1.5e14 and 0.345, which the reference was given.
"""

from typing import Any, get_args, get_type_hints

from hypothesis import strategies as st

from mbongi.wire.stratum_v2 import datatypes as t
from mbongi.wire.stratum_v2 import extensions, job_declaration, mining, registry, setup, template_distribution
from mbongi.wire.stratum_v2.layout import Message
from mbongi.wire.stratum_v2.setup import Protocol


def run(first: int) -> bytes:
    """32 bytes that count up."""
    return bytes((first + place) % 256 for place in range(32))


def number(first: int) -> int:
    """The same as a number: the byte that comes first counts least (section 3.1)."""
    return sum(byte << 8 * place for place, byte in enumerate(run(first)))


def protocol_of(message: Message) -> tuple[Protocol, int]:
    """A protocol under which the message may come, and its extension."""
    kind = type(message)
    for protocol, rows in (
        (Protocol.JOB_DECLARATION, registry.JOB_DECLARATION),
        (Protocol.TEMPLATE_DISTRIBUTION, registry.TEMPLATE_DISTRIBUTION),
    ):
        if any(row.kind is kind for row in rows):
            return protocol, 0
    return Protocol.MINING, int(any(row.kind is kind for row in registry.EXTENSIONS_NEGOTIATION))


KINDS = [
    row.kind
    for row in (
        registry.SETUP
        + registry.MINING
        + registry.JOB_DECLARATION
        + registry.TEMPLATE_DISTRIBUTION
        + registry.EXTENSIONS_NEGOTIATION
    )
]

EXAMPLES: list[Message] = [
    setup.SetupConnection(
        protocol=1,
        min_version=2,
        max_version=3,
        flags=0x01020304,
        endpoint_host="pool.example",
        endpoint_port=34254,
        vendor="Bitmain",
        hardware_version="S9i 13.5",
        firmware="braiins-os-2018-09-22-1-hash",
        device_id="",
    ),
    setup.SetupConnectionSuccess(used_version=2, flags=0xA1B2C3D4),
    setup.SetupConnectionError(flags=5, error_code="unsupported-feature-flags"),
    setup.ChannelEndpointChanged(channel_id=0x11223344),
    setup.Reconnect(new_host="näher.example", new_port=3336),
    mining.OpenStandardMiningChannel(
        request_id=1, user_identity="farm.worker1", nominal_hash_rate=150000004759552.0, max_target=number(1)
    ),
    mining.OpenStandardMiningChannelSuccess(
        request_id=1, channel_id=2, target=number(3), extranonce_prefix=b"\x09\x08\x07\x06", group_channel_id=5
    ),
    mining.OpenMiningChannelError(request_id=7, error_code="unknown-user"),
    mining.OpenExtendedMiningChannel(
        request_id=1,
        user_identity="farm",
        nominal_hash_rate=0.3449999988079071,
        max_target=number(2),
        min_extranonce_size=8,
    ),
    mining.OpenExtendedMiningChannelSuccess(
        request_id=1,
        channel_id=2,
        target=number(200),
        extranonce_size=8,
        extranonce_prefix=b"\x01\x02\x03",
        group_channel_id=4,
    ),
    mining.NewMiningJob(channel_id=1, job_id=2, min_ntime=None, version=0x20000000, merkle_root=run(7)),
    mining.UpdateChannel(channel_id=3, nominal_hash_rate=0.0, maximum_target=number(4)),
    mining.UpdateChannelError(channel_id=3, error_code="invalid-channel-id"),
    mining.CloseChannel(channel_id=3, reason_code="bye"),
    mining.SetExtranoncePrefix(channel_id=3, extranonce_prefix=b"\x05" * 32),
    mining.SubmitSharesStandard(
        channel_id=1, sequence_number=2, job_id=3, nonce=0xDEADBEEF, ntime=1700000000, version=0x20400000
    ),
    mining.SubmitSharesExtended(
        channel_id=1,
        sequence_number=2,
        job_id=3,
        nonce=0xDEADBEEF,
        ntime=1700000000,
        version=0x20400000,
        extranonce=bytes(range(8)),
    ),
    mining.SubmitSharesSuccess(
        channel_id=1, last_sequence_number=20, new_submits_accepted_count=10, new_shares_sum=0x0102030405060708
    ),
    mining.SubmitSharesError(channel_id=1, sequence_number=21, error_code="stale-share"),
    mining.NewExtendedMiningJob(
        channel_id=1,
        job_id=2,
        min_ntime=1700000001,
        version=0x20000000,
        version_rolling_allowed=True,
        merkle_path=(run(1), run(2)),
        coinbase_tx_prefix=b"\x01\x00\x00\x00\x01",
        coinbase_tx_suffix=b"\x07" * 300,
    ),
    mining.SetNewPrevHash(channel_id=1, job_id=2, prev_hash=run(100), min_ntime=1700000002, nbits=0x1703A30C),
    mining.SetTarget(channel_id=1, maximum_target=number(10)),
    mining.SetCustomMiningJob(
        channel_id=1,
        request_id=2,
        mining_job_token=b"\x03\x04",
        version=5,
        prev_hash=run(6),
        min_ntime=7,
        nbits=8,
        coinbase_tx_version=9,
        coinbase_prefix=b"\x0a\x0b",
        coinbase_tx_input_sequence=12,
        coinbase_tx_outputs=b"\x0d",
        coinbase_tx_locktime=14,
        merkle_path=(run(15),),
    ),
    mining.SetCustomMiningJobSuccess(channel_id=1, request_id=2, job_id=3),
    mining.SetCustomMiningJobError(channel_id=1, request_id=2, error_code="invalid-mining-job-token"),
    mining.SetGroupChannel(group_channel_id=9, channel_ids=(1, 2, 0x01020304)),
    job_declaration.AllocateMiningJobToken(user_identifier="braiinstest", request_id=6),
    job_declaration.AllocateMiningJobTokenSuccess(
        request_id=6,
        mining_job_token=b"\x01\x02\x03\x04",
        coinbase_tx_outputs=b"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x51",
    ),
    job_declaration.ProvideMissingTransactions(request_id=6, unknown_tx_position_list=(0, 513)),
    job_declaration.ProvideMissingTransactionsSuccess(request_id=6, transaction_list=(b"\x02" * 400, b"", b"\x03")),
    job_declaration.DeclareMiningJob(
        request_id=6,
        mining_job_token=b"\x01",
        version=0x20000000,
        coinbase_tx_prefix=b"\x02\x02",
        coinbase_tx_suffix=b"\x03\x03\x03",
        wtxid_list=(run(4), run(5)),
        excess_data=b"",
    ),
    job_declaration.DeclareMiningJobSuccess(request_id=6, new_mining_job_token=b"\x09\x09"),
    job_declaration.DeclareMiningJobError(request_id=6, error_code="invalid-job", error_details=b"\xff"),
    job_declaration.PushSolution(
        extranonce=b"\x01\x02\x03\x04",
        prev_hash=run(5),
        nonce=0x11223344,
        ntime=0x55667788,
        nbits=0x99AABBCC,
        version=0xDDEEFF00,
    ),
    template_distribution.CoinbaseOutputConstraints(
        coinbase_output_max_additional_size=0x00010203, coinbase_output_max_additional_sigops=400
    ),
    template_distribution.NewTemplate(
        template_id=0x0807060504030201,
        future_template=True,
        version=0x20000000,
        coinbase_tx_version=2,
        coinbase_prefix=b"\x03\x40\x0d\x0c",
        coinbase_tx_input_sequence=0xFFFFFFFF,
        coinbase_tx_value_remaining=312500000,
        coinbase_tx_outputs_count=1,
        coinbase_tx_outputs=bytes(43),
        coinbase_tx_locktime=17,
        merkle_path=(run(0), run(1), run(2)),
    ),
    template_distribution.SetNewPrevHash(
        template_id=1, prev_hash=run(2), header_timestamp=3, nbits=4, target=number(5)
    ),
    template_distribution.RequestTransactionData(template_id=99),
    template_distribution.RequestTransactionDataSuccess(
        template_id=99, excess_data=b"\x01\x02", transaction_list=(b"\x04\x05\x06",)
    ),
    template_distribution.RequestTransactionDataError(template_id=99, error_code="stale-template-id"),
    template_distribution.SubmitSolution(
        template_id=99, version=1, header_timestamp=2, header_nonce=3, coinbase_tx=b"\x08" * 260
    ),
    extensions.RequestExtensions(request_id=0x0102, requested_extensions=(2, 3)),
    extensions.RequestExtensionsSuccess(request_id=0x0102, supported_extensions=(2,)),
    extensions.RequestExtensionsError(request_id=0x0102, unsupported_extensions=(3,), required_extensions=(5,)),
]


def _up_to(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, 2**bits - 1)


_VALUES: dict[Any, st.SearchStrategy[Any]] = {
    t.BOOL: st.booleans(),
    t.U8: _up_to(8),
    t.U16: _up_to(16),
    t.U32: _up_to(32),
    t.U64: _up_to(64),
    t.U256: st.binary(min_size=32, max_size=32),
    t.TARGET: _up_to(256),
    t.F32: st.floats(width=32, allow_nan=False),
    t.STR0_255: st.binary(max_size=255).map(lambda blob: blob.decode("utf-8", "surrogateescape")),
    t.B0_32: st.binary(max_size=32),
    t.B0_255: st.binary(max_size=255),
    t.B0_64K: st.binary(max_size=700),
    t.B0_16M: st.binary(max_size=700),
}


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Any value that a field of this data type carries."""
    if annotation in _VALUES:
        return _VALUES[annotation]
    elements = values(get_args(get_args(annotation)[0])[0])
    if annotation.__metadata__[0].is_option:
        return st.none() | elements
    return st.lists(elements, max_size=5).map(tuple)


def messages(kind: type[Message]) -> st.SearchStrategy[Message]:
    """Any message of a kind."""
    hints = get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{name: values(hints[name]) for name in kind.__struct_fields__})
