"""Messages of the mining protocol. Source: section 5.3.

Rates [H/s] come as floats that can be anything a float can be; targets are numbers, hashes bytes in internal order.
"""

from enum import IntFlag

from mbongi.wire.stratum_v2.datatypes import (
    B0_32,
    B0_64K,
    B0_255,
    BOOL,
    F32,
    OPTION,
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


class SetupFlag(IntFlag):
    """What a client needs: ``SetupConnection.flags``, and those that a ``SetupConnectionError`` refuses."""

    REQUIRES_STANDARD_JOBS = 1
    REQUIRES_WORK_SELECTION = 2
    REQUIRES_VERSION_ROLLING = 4


class SetupSuccessFlag(IntFlag):
    """What a server needs: ``SetupConnectionSuccess.flags``."""

    REQUIRES_FIXED_VERSION = 1
    REQUIRES_EXTENDED_CHANNELS = 2


class OpenStandardMiningChannel(Message, frozen=True, gc=False):
    """A device that rolls headers only asks for a channel."""

    request_id: U32
    user_identity: STR0_255
    nominal_hash_rate: F32
    max_target: TARGET


class OpenStandardMiningChannelSuccess(Message, frozen=True, gc=False):
    """The channel is open."""

    request_id: U32
    channel_id: U32
    target: TARGET
    extranonce_prefix: B0_32
    group_channel_id: U32


class OpenMiningChannelError(Message, frozen=True, gc=False):
    """No channel of either kind is opened."""

    request_id: U32
    error_code: STR0_255


class OpenExtendedMiningChannel(Message, frozen=True, gc=False):
    """A device or proxy that rolls the extranonce asks for a channel; the size is what it needs at least [byte]."""

    request_id: U32
    user_identity: STR0_255
    nominal_hash_rate: F32
    max_target: TARGET
    min_extranonce_size: U16


class OpenExtendedMiningChannelSuccess(Message, frozen=True, gc=False):
    """The channel is open; ``extranonce_size`` [byte] does not count the prefix."""

    request_id: U32
    channel_id: U32
    target: TARGET
    extranonce_size: U16
    extranonce_prefix: B0_32
    group_channel_id: U32


def with_group(payload: bytes) -> bytes:
    """An OpenExtendedMiningChannelSuccess of a pool from before such channels had groups, as one of group 0.

    Others come back unchanged. Source: the reference implementation's pool of 2025 leaves the last field out.
    """
    is_without = len(payload) > _PREFIX_AT and len(payload) == _PREFIX_AT + 1 + payload[_PREFIX_AT]
    return payload + bytes(4) if is_without else payload


_PREFIX_AT = 4 + 4 + 32 + 2


class NewMiningJob(Message, frozen=True, gc=False):
    """A job for a standard channel. Without ``min_ntime`` it waits for a SetNewPrevHash that names it."""

    channel_id: U32
    job_id: U32
    min_ntime: OPTION[U32]
    version: U32
    merkle_root: U256


class UpdateChannel(Message, frozen=True, gc=False):
    """The devices behind a channel have changed."""

    channel_id: U32
    nominal_hash_rate: F32
    maximum_target: TARGET


class UpdateChannelError(Message, frozen=True, gc=False):
    """The update is refused; one that is taken has no answer."""

    channel_id: U32
    error_code: STR0_255


class CloseChannel(Message, frozen=True, gc=False):
    """Either side ends a channel, or every channel of a group."""

    channel_id: U32
    reason_code: STR0_255


class SetExtranoncePrefix(Message, frozen=True, gc=False):
    """Jobs after this one have another prefix."""

    channel_id: U32
    extranonce_prefix: B0_32


class SubmitSharesStandard(Message, frozen=True, gc=False):
    """A share of a standard channel."""

    channel_id: U32
    sequence_number: U32
    job_id: U32
    nonce: U32
    ntime: U32
    version: U32


class SubmitSharesExtended(Message, frozen=True, gc=False):
    """A share of an extended channel; the extranonce is as long as the channel's, without its prefix."""

    channel_id: U32
    sequence_number: U32
    job_id: U32
    nonce: U32
    ntime: U32
    version: U32
    extranonce: B0_32


class SubmitSharesSuccess(Message, frozen=True, gc=False):
    """Shares are accepted, up to a sequence number; the sum is of their difficulties since the last such message."""

    channel_id: U32
    last_sequence_number: U32
    new_submits_accepted_count: U32
    new_shares_sum: U64


class SubmitSharesError(Message, frozen=True, gc=False):
    """A share is refused."""

    channel_id: U32
    sequence_number: U32
    error_code: STR0_255


class NewExtendedMiningJob(Message, frozen=True, gc=False):
    """A job for an extended channel or a group; the coinbase's parts carry no witness."""

    channel_id: U32
    job_id: U32
    min_ntime: OPTION[U32]
    version: U32
    version_rolling_allowed: BOOL
    merkle_path: SEQ0_255[U256]
    coinbase_tx_prefix: B0_64K
    coinbase_tx_suffix: B0_64K


class SetNewPrevHash(Message, frozen=True, gc=False):
    """A block was found: only the job named here is still good."""

    channel_id: U32
    job_id: U32
    prev_hash: U256
    min_ntime: U32
    nbits: U32


class SetTarget(Message, frozen=True, gc=False):
    """Hashes of jobs to come have to be at most this."""

    channel_id: U32
    maximum_target: TARGET


class SetCustomMiningJob(Message, frozen=True, gc=False):
    """A client mines a job of its own; the outputs begin with their count as a compact size."""

    channel_id: U32
    request_id: U32
    mining_job_token: B0_255
    version: U32
    prev_hash: U256
    min_ntime: U32
    nbits: U32
    coinbase_tx_version: U32
    coinbase_prefix: B0_255
    coinbase_tx_input_sequence: U32
    coinbase_tx_outputs: B0_64K
    coinbase_tx_locktime: U32
    merkle_path: SEQ0_255[U256]


class SetCustomMiningJobSuccess(Message, frozen=True, gc=False):
    """The job is taken and will be paid for."""

    channel_id: U32
    request_id: U32
    job_id: U32


class SetCustomMiningJobError(Message, frozen=True, gc=False):
    """The job is not taken."""

    channel_id: U32
    request_id: U32
    error_code: STR0_255


class SetGroupChannel(Message, frozen=True, gc=False):
    """These channels belong to this group from now on."""

    group_channel_id: U32
    channel_ids: SEQ0_64K[U32]
