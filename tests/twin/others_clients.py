"""Other people's clients, imported past their deprecation warnings, which are theirs and not ours to mend."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pyasic
    import pyasic_rs
    from passlib.hash import md5_crypt as passlib_md5_crypt
    from pyasic.errors import APIError
    from pyasic.rpc.btminer import (
        BTMinerRPCAPI,
        BTMinerV3RPCAPI,
        TokenData,
        create_privileged_cmd,
        parse_btminer_priviledge_data,
    )

__all__ = [
    "APIError",
    "BTMinerRPCAPI",
    "BTMinerV3RPCAPI",
    "TokenData",
    "create_privileged_cmd",
    "parse_btminer_priviledge_data",
    "passlib_md5_crypt",
    "pyasic",
    "pyasic_rs",
]
