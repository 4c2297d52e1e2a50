"""The append-only record of who did what, on what, why, with what before and after, provable as a Merkle tree."""
