"""The protocol of Network UPS Tools: questions as lines, and answers read line by line. No I/O.

Source: RFC 9271, Uninterruptible Power Supply (UPS) Management Protocol.
"""

import re

from mbongi.wire.errors import TooLongError, WireError

LINE_BYTES_MAX = 1024
LINES_MAX = 2000
"""Variables of one UPS, at most."""
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_VAR = re.compile(r'VAR (\S+) (\S+) "((?:[^"\\]|\\.)*)"')


class NutError(WireError):
    """A line that the protocol does not have."""


class NutRefused(NutError):
    """The server's ``ERR``; ``word`` says why, such as ``ACCESS-DENIED`` or ``DATA-STALE``."""

    def __init__(self, word: str) -> None:
        super().__init__(f"the server refuses: {word}")
        self.word = word


def list_variables(ups: str) -> bytes:
    """Ask for all variables of a UPS. Raises NutError for a name that none can have."""
    if not _NAME.fullmatch(ups):
        raise NutError(f"ups name {ups!r}: expected letters, digits, dots, dashes and underscores")
    return f"LIST VAR {ups}\n".encode("ascii")


def sign_in(user: str, password: str) -> tuple[bytes, bytes]:
    """The two lines that name us; each is answered with ``OK``. Raises NutError for a line break within."""
    return _said("USERNAME", user), _said("PASSWORD", password)


def _said(verb: str, word: str) -> bytes:
    if not word.isprintable():
        raise NutError(f"{verb}: holds a control character")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'{verb} "{escaped}"\n'.encode()


def check_ok(line: bytes) -> None:
    """Whether a command was taken. Raises NutRefused, NutError."""
    words = _line(line)
    if words != "OK" and not words.startswith("OK "):
        raise NutError(f"answer {words[:60]!r}: expected OK")


class VariableList:
    """Takes the lines of an answer to ``list_variables``."""

    def __init__(self, ups: str) -> None:
        self._ups = ups
        self._begun = False
        self.variables: dict[str, str] = {}

    def take(self, line: bytes) -> bool:
        """One line; True once the list is whole. Raises NutRefused, NutError, TooLongError."""
        text = _line(line)
        if not self._begun:
            if text != f"BEGIN LIST VAR {self._ups}":
                raise NutError(f"answer {text[:60]!r}: expected the beginning of a list")
            self._begun = True
            return False
        if text == f"END LIST VAR {self._ups}":
            return True
        found = _VAR.fullmatch(text)
        if found is None or found[1] != self._ups:
            raise NutError(f"answer {text[:60]!r}: expected a variable of {self._ups}")
        if len(self.variables) >= LINES_MAX:
            raise TooLongError(f"ups {self._ups}: more than {LINES_MAX} variables")
        self.variables[found[2]] = re.sub(r"\\(.)", r"\1", found[3])
        return False


def _line(line: bytes) -> str:
    if not line.endswith(b"\n") or len(line) > LINE_BYTES_MAX:
        raise NutError(f"a line of {len(line)} bytes: cut off, or longer than {LINE_BYTES_MAX}")
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    if text.startswith("ERR "):
        raise NutRefused(text[4:].split(" ")[0])
    return text
