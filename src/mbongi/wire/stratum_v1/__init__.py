"""Stratum V1: JSON in lines, in both directions, between a miner and a pool.

Sources: the mining protocol's description by its authors (slush pool), BIP 310 for extensions, and what firmwares send.
"""
