"""Security of Stratum V2: the Noise NX handshake over secp256k1, the server's certificate, and encrypted frames.

Bytes in, bytes out; whoever calls it owns the connection, the clock and the keys' storage.
Source: the Stratum V2 specification (sv2-spec), section 4, at 0f38d51.
"""
