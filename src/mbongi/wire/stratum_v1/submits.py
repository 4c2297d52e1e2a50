"""The hot path: a ``mining.submit`` line straight into its share. What it leaves, ``decode_line`` reads.

In compiled code (``_native.c``) where ``./mbongi`` could compile it: it takes 0.5 µs, typed decoding 1.2, the general
reader and a regular expression over the bytes twice that. What the compiled code leaves is decoded here.
"""

from typing import TYPE_CHECKING, Literal

import msgspec

from mbongi.wire.stratum_v1.lines import check_id
from mbongi.wire.stratum_v1.requests import Submit, usual_share


class _Params(msgspec.Struct, gc=False, array_like=True):
    worker: str
    job_id: str
    extranonce2: str
    time: str
    nonce: str
    version: str | None = None


class _Line(msgspec.Struct, gc=False):
    method: Literal["mining.submit"]
    params: _Params
    id: msgspec.Raw = msgspec.Raw(b"null")


ID_DIGITS_USUAL = 20
"""A counter of 64 bits; such an id needs no further look."""
_decode = msgspec.json.Decoder(_Line).decode


def decode_submit_in_python(data: bytes) -> tuple[bytes, Submit] | None:
    """The id as it came and the share, where the line is a submit in the usual form; None for any other line.

    None says nothing against a line: hand it to ``decode_line``. What comes is the same as by that way.
    """
    try:
        line = _decode(data)
        raw = bytes(line.id)
        if not raw.isdigit() or len(raw) > ID_DIGITS_USUAL:
            check_id(raw)
        fields = line.params
        return raw, usual_share(
            fields.worker.strip(), fields.job_id, fields.extranonce2, fields.time, fields.nonce, fields.version
        )
    except (ValueError, RecursionError):  # of the decoder, of an id, of a field: all are ValueErrors
        return None


if TYPE_CHECKING:
    decode_submit = decode_submit_in_python
else:
    try:
        from mbongi.wire.stratum_v1._native import read_submit
    except ImportError:
        decode_submit = decode_submit_in_python
    else:

        def decode_submit(data: bytes) -> tuple[bytes, Submit] | None:
            """See decode_submit_in_python."""
            return read_submit(data, Submit) or decode_submit_in_python(data)
