"""What the pool tells the other domains, over the bus."""

import msgspec

from mbongi.core.bus.messages import message


@message("pool.payment.v1")
class PaymentChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A payout came to another state (``values.PaymentState``). ``at_ms`` is milliseconds since 1970, UTC."""

    payment_id: int
    state: str
    txid: str
    amount_sat: int
    fee_sat: int
    outputs: int
    at_ms: int
