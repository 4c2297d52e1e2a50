"""Protocols of the plant's devices."""
