"""On what terms the pool pays: its address, limits and fees, as the configuration states them."""

from dataclasses import dataclass
from typing import Final

from mbongi.base.config import Config
from mbongi.base.errors import ConfigError
from mbongi.pool.adapters.practice_wallet import PracticeWallet
from mbongi.pool.errors import PayoutError
from mbongi.pool.rules.payout.batch import FeePayer, FeePolicy
from mbongi.pool.rules.payout.coins import input_weight
from mbongi.wire.bitcoin.address import Network, networks, script_of_address
from mbongi.wire.errors import WireError

PRACTICE: Final = "regtest-bcoin"
"""The network of the practice chain."""


@dataclass(frozen=True, slots=True)
class PayingTerms:
    """Where the pool's coins and change lie, how they are spent (``unlock``), and what payouts may cost."""

    network: Network
    script: bytes
    unlock: bytes
    minimum_sat: int
    approvals: int
    fee_sat_kvb: int
    fee_sat_kvb_max: int
    payer: FeePayer
    is_practice: bool

    def policy(self, fee_sat_kvb: int | None = None, payer: FeePayer | None = None) -> FeePolicy:
        """The fee policy of one payout. Raises PayoutError for a rate outside the bounds."""
        return FeePolicy(
            self.fee_sat_kvb if fee_sat_kvb is None else fee_sat_kvb,
            self.payer if payer is None else payer,
            self.fee_sat_kvb_max,
        )


def terms_of(config: Config) -> PayingTerms:
    """The terms of a site. Raises ConfigError."""
    pool = config.pool
    script = payout_script(config)
    try:
        unlock = bytes.fromhex(pool.spend_script)
        input_weight(script, unlock)
    except (ValueError, PayoutError) as error:
        raise ConfigError(f"pool.address: payouts cannot spend what it receives: {error}") from error
    return PayingTerms(
        network=networks()[pool.network],
        script=script,
        unlock=unlock,
        minimum_sat=pool.payout_minimum_sat,
        approvals=pool.payout_approvals,
        fee_sat_kvb=round(pool.payout_fee_sat_vb * 1000),
        fee_sat_kvb_max=round(pool.payout_fee_sat_vb_max * 1000),
        payer=FeePayer(pool.payout_fee_payer),
        is_practice=pool.network == PRACTICE,
    )


def payout_script(config: Config) -> bytes:
    """What the pool's blocks pay to; on the practice chain the practice wallet unless stated. Raises ConfigError."""
    network = networks()[config.pool.network]
    if not config.pool.address and config.pool.network == PRACTICE:
        return PracticeWallet.of(config.site.data_dir).script
    if not config.pool.address:
        raise ConfigError(f"pool.address: empty; expected an address of {network.name}")
    try:
        return script_of_address(config.pool.address, network)
    except WireError as error:
        raise ConfigError(f"pool.address: {error}") from error
