"""Stratum V2: binary messages in frames, in both directions, for mining, job declaration and template distribution.

Encryption is the noise package's. Source: the Stratum V2 specification (sv2-spec), sections 3 and 5 to 9, at 0f38d51.
"""
