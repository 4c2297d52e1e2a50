"""Codecs without I/O: bytes in, typed values out, and back.

Each module speaks one protocol and takes no socket, clock or thread; whoever calls it owns those.
"""
