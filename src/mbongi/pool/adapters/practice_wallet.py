"""The key of the practice chain: it receives what a practice pool earns and signs its payouts.

It lies in the data folder beside the pool, which no key with money on it ever does: on every other network payouts are
signed outside.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Self

from coincurve import PrivateKey

from mbongi.base.errors import ConfigError
from mbongi.base.keys import stored_key
from mbongi.pool.errors import PayoutError
from mbongi.wire.bitcoin.address import address_of_script, networks
from mbongi.wire.bitcoin.hashing import hash160
from mbongi.wire.bitcoin.psbt import Psbt, with_signature
from mbongi.wire.bitcoin.script import OP_0, P2PKH, push
from mbongi.wire.bitcoin.sighash import SIGHASH_ALL, SignedHashes
from mbongi.wire.bitcoin.transaction import TxOut

NETWORK = "regtest-bcoin"


@dataclass(frozen=True, slots=True)
class PracticeWallet:
    """One key and its p2wpkh output."""

    _key: PrivateKey = field(repr=False)

    @classmethod
    def of(cls, data_dir: Path) -> Self:
        """The wallet of a data folder, made on first use. Raises ConfigError."""
        path = data_dir / "secrets" / "practice-wallet.key"
        text = stored_key(path, PrivateKey().to_hex().rjust(64, "0").encode())
        try:
            return cls(PrivateKey(bytes.fromhex(text)))
        except ValueError as error:
            raise ConfigError(f"{path}: {error}; expected 64 hex digits; put the file back, or remove it") from error

    @property
    def script(self) -> bytes:
        """What pays to it."""
        return _script_of(self._key)

    @property
    def address(self) -> str:
        """The same, as people write it."""
        return _address_of(self._key)

    def sign(self, psbt: Psbt) -> Psbt:
        """A copy in which every input of this wallet's is signed. Raises PayoutError where one is another's."""
        spent: list[TxOut] = []
        for place in range(len(psbt.input_fields)):
            output = psbt.spent_output(place)
            if output is None or output.script != self.script:
                raise PayoutError(f"practice wallet: input {place} is not of this wallet; it signs all or nothing")
            spent.append(output)
        hashes = SignedHashes(psbt.transaction, spent)
        public = self._key.public_key.format()
        code = hash160(public).join(P2PKH)
        for place in range(len(spent)):
            signature = self._key.sign(hashes.segwit(place, code), hasher=None) + bytes([SIGHASH_ALL])
            psbt = with_signature(psbt, place, public_key=public, signature=signature)
        return psbt


def miners_address(account: str) -> str:
    """A practice address for an account that has none; its key is the hash of its name, so it is nobody's secret."""
    return _address_of(PrivateKey(sha256(b"mbongi practice miner " + account.encode()).digest()))


def _script_of(key: PrivateKey) -> bytes:
    return bytes([OP_0]) + push(hash160(key.public_key.format()))


def _address_of(key: PrivateKey) -> str:
    address = address_of_script(_script_of(key), networks()[NETWORK])
    assert address is not None
    return address
