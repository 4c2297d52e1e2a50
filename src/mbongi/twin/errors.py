"""Errors of the virtual site."""

from mbongi.base.errors import ConfigError, MbongiError


class TwinError(MbongiError):
    """The virtual site could not do what was asked; the message says what, where and the cure."""


class TwinConfigError(TwinError, ConfigError):
    """A setting of the virtual site cannot be used."""


class UnknownAddressError(TwinError, LookupError):
    """No virtual machine has that address."""


class UnknownFaultError(TwinError, ValueError):
    """No fault has that name."""


class WriteRefusedError(TwinError):
    """A machine was told to refuse the write (WriteFault.REFUSES); its firmware answers with its own error."""
