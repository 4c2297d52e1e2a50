"""Error codes: what servers and clients write into ``error_code``.

The specification leaves the list to each implementation, and asks receivers to do without it (section 3.5). These are
the ones that it named before its commit 9fead06, then those that only the reference implementation has.
"""

from enum import StrEnum


class ErrorCode(StrEnum):
    """Codes in the order of the protocols."""

    UNSUPPORTED_FEATURE_FLAGS = "unsupported-feature-flags"
    UNSUPPORTED_PROTOCOL = "unsupported-protocol"
    PROTOCOL_VERSION_MISMATCH = "protocol-version-mismatch"
    UNKNOWN_USER = "unknown-user"
    MAX_TARGET_OUT_OF_RANGE = "max-target-out-of-range"
    INVALID_CHANNEL_ID = "invalid-channel-id"
    STALE_SHARE = "stale-share"
    DIFFICULTY_TOO_LOW = "difficulty-too-low"
    INVALID_JOB_ID = "invalid-job-id"
    INVALID_MINING_JOB_TOKEN = "invalid-mining-job-token"  # noqa: S105 -- the name of an error, no secret
    TEMPLATE_ID_NOT_FOUND = "template-id-not-found"
    STALE_TEMPLATE_ID = "stale-template-id"

    MISSING_DECLARE_TX_DATA_FLAG = "missing-declare-tx-data-flag"
    INVALID_USER_IDENTITY = "invalid-user-identity"
    INVALID_NOMINAL_HASHRATE = "invalid-nominal-hashrate"
    MIN_EXTRANONCE_SIZE_TOO_LARGE = "min-extranonce-size-too-large"
    STANDARD_CHANNELS_NOT_SUPPORTED_FOR_CUSTOM_WORK = "standard-channels-not-supported-for-custom-work"
    EXTENDED_CHANNELS_NOT_SUPPORTED_FOR_STANDARD_JOBS = "extended-channels-not-supported-for-standard-jobs"
    INVALID_SHARE = "invalid-share"
    DUPLICATE_SHARE = "duplicate-share"
    BAD_EXTRANONCE_SIZE = "bad-extranonce-size"
    VERSION_ROLLING_NOT_ALLOWED = "version-rolling-not-allowed"
    INVALID_NON_ROLLABLE_VERSION_BIT = "invalid-non-rollable-version-bit"
    JD_NOT_SUPPORTED = "jd-not-supported"
    JOB_NOT_YET_VALIDATED = "job-not-yet-validated"
    STALE_CHAIN_TIP = "stale-chain-tip"
    MISSING_TXS = "missing-txs"
    INVALID_COINBASE_TX = "invalid-coinbase-tx"
    INVALID_JOB = "invalid-job"
    INTERNAL_ERROR = "internal-error"


def invalid_job_parameter(field: str) -> str:
    """The code for a field of SetCustomMiningJob or DeclareMiningJob that holds a wrong value."""
    return f"invalid-job-param-value-{field}"
