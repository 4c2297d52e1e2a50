"""The security layer of Stratum V2."""
