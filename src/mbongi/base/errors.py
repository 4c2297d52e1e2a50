"""The root of the error tree. Each domain subclasses these in its own ``errors.py``."""


class MbongiError(Exception):
    """Something was attempted and could not be done; the message says what, on what, found and expected."""


class ConfigError(MbongiError, ValueError):
    """A configuration value cannot be used. The message names the file or variable, the key and the cure."""
