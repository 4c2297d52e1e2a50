"""Bitcoin's own formats: hashes and merkle trees, targets, headers, transactions and their signing,
blocks, scripts, addresses.

Hashes are bytes in internal order, as hashed and as they stand in headers; only ``hashing.display`` turns them round.
"""
