"""What the accounts of a block's miners get: schemes, fees, the coinbase's outputs and the balances, to the satoshi."""
