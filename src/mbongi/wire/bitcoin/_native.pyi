"""Compiled from _native.c by ./mbongi where there is a C compiler; see work_hash."""

def merkle_root(before: bytes, extranonce: bytes, after: bytes, branch: bytes, /) -> bytes: ...
def hashed_header(
    before: bytes,
    extranonce: bytes,
    after: bytes,
    branch: bytes,
    previous_hash: bytes,
    version: int,
    time_s: int,
    bits: int,
    nonce: int,
    /,
) -> tuple[bytes, bytes]: ...
def coinbase_branch(others: bytes, /) -> bytes: ...
def use_extensions(wish: object, /) -> bool: ...
