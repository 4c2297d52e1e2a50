"""The few scripts that a pool writes and reads: pushes, the block's height, data, the witness commitment, payments."""

from collections.abc import Iterator

from mbongi.wire.bitcoin.hashing import sha256d
from mbongi.wire.errors import WireError

OP_0, OP_1, OP_16, OP_PUSHDATA1, OP_PUSHDATA2, OP_PUSHDATA4, OP_RETURN = 0x00, 0x51, 0x60, 0x4C, 0x4D, 0x4E, 0x6A
OP_CHECKSIG, OP_CHECKMULTISIG = 0xAC, 0xAE
P2PKH = (b"\x76\xa9\x14", b"\x88\xac")
"""What stands before and after the hash of the key."""
P2SH = (b"\xa9\x14", b"\x87")
"""What stands before and after the hash of the script."""
SCRIPT_BYTES_MAX = 10_000
"""Source: Bitcoin Core, MAX_SCRIPT_SIZE."""
ELEMENT_BYTES_MAX = 520
"""Source: Bitcoin Core, MAX_SCRIPT_ELEMENT_SIZE."""
COMMITMENT_HEADER = bytes.fromhex("aa21a9ed")
"""Source: BIP 141."""


def push(data: bytes) -> bytes:
    """The script that puts data (at most 520 bytes) on the stack. Raises WireError for more."""
    if len(data) < OP_PUSHDATA1:
        return bytes([len(data)]) + data
    if len(data) <= 0xFF:
        return bytes([OP_PUSHDATA1, len(data)]) + data
    if len(data) <= ELEMENT_BYTES_MAX:
        return bytes([OP_PUSHDATA2]) + len(data).to_bytes(2, "little") + data
    raise WireError(f"push of {len(data)} bytes; at most {ELEMENT_BYTES_MAX}")


def height_push(height: int) -> bytes:
    """A block's height as its coinbase must begin (BIP 34): the shortest push of the number."""
    if height < 0:
        raise WireError(f"block height {height}: expected 0 or more")
    if height == 0:
        return bytes([OP_0])
    if height <= 16:
        return bytes([OP_1 + height - 1])
    # One more bit than the number: the highest is the sign's.
    return push(height.to_bytes(height.bit_length() // 8 + 1, "little"))


def op_return(data: bytes) -> bytes:
    """An output that nobody can spend and that carries data."""
    return bytes([OP_RETURN]) + push(data)


def witness_commitment_script(witness_root: bytes, reserved: bytes) -> bytes:
    """The output by which a coinbase commits to the block's witnesses (BIP 141)."""
    return op_return(COMMITMENT_HEADER + sha256d(witness_root + reserved))


def operations(script: bytes) -> Iterator[tuple[int, bytes]]:
    """Each operation and what it pushes. Raises WireError at a push that the script is too short for."""
    at = 0
    while at < len(script):
        operation, size = script[at], script[at]
        at += 1
        if operation > OP_PUSHDATA4:
            size = 0
        elif operation >= OP_PUSHDATA1:
            width = 1 << operation - OP_PUSHDATA1
            size = int.from_bytes(script[at : at + width], "little")
            at += width
        if at + size > len(script):
            raise WireError(f"script of {len(script)} bytes: a push of {size} bytes at {at} does not end in it")
        yield operation, script[at : at + size]
        at += size


def witness_program(script: bytes) -> tuple[int, bytes] | None:
    """Version (0..16) and program that a segwit output's script holds; None for another script (BIP 141)."""
    if not (4 <= len(script) <= 42 and script[1] == len(script) - 2):
        return None
    if script[0] == OP_0:
        return 0, script[2:]
    return (script[0] - OP_1 + 1, script[2:]) if OP_1 <= script[0] <= OP_16 else None


def p2pkh_hash(script: bytes) -> bytes | None:
    """The hash of the key that a script pays to; None for another script."""
    fits = len(script) == 25 and script.startswith(P2PKH[0]) and script.endswith(P2PKH[1])
    return script[3:23] if fits else None


def p2sh_hash(script: bytes) -> bytes | None:
    """The hash of the script that a script pays to (BIP 16); None for another script."""
    fits = len(script) == 23 and script.startswith(P2SH[0]) and script.endswith(P2SH[1])
    return script[2:22] if fits else None


def multisig(script: bytes) -> tuple[int, list[bytes]]:
    """How many signatures a multisignature script needs, and its keys in their order.

    Raises WireError for another script.
    """
    match [*operations(script)]:
        case [(first, _), *between, (count, _), (last, _)] if OP_1 <= first <= count <= OP_16:
            keys = [data for _, data in between]
            fits = last == OP_CHECKMULTISIG and count - OP_1 + 1 == len(keys)
            if fits and all(len(key) in {33, 65} for key in keys):
                return first - OP_1 + 1, keys
    raise WireError(f"an output of a kind not known: {script.hex()}")


def dust_limit_sat(script: bytes, *, fee_sat_vb: int = 3) -> int:
    """The least value of an output that nodes relay [sat]: below it, spending costs more than the output holds.

    ``fee_sat_vb`` is the nodes' dust fee rate (``dustrelayfee``). 0 for an output that nobody can spend.
    Source: Bitcoin Core, GetDustThreshold.
    """
    if script.startswith(bytes([OP_RETURN])) or len(script) > SCRIPT_BYTES_MAX:
        return 0
    length_bytes = 1 if len(script) < 0xFD else 3
    output_bytes = 8 + length_bytes + len(script)
    # An input: outpoint, length, signature and key (a quarter of them in a witness), sequence.
    input_bytes = 32 + 4 + 1 + (107 // 4 if witness_program(script) else 107) + 4
    return (output_bytes + input_bytes) * fee_sat_vb
