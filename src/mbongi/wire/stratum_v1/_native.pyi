"""Compiled from _native.c by ./mbongi where there is a C compiler; see submits."""

from mbongi.wire.stratum_v1.requests import Submit

def read_submit(data: bytes, kind: type[Submit], /) -> tuple[bytes, Submit] | None: ...
