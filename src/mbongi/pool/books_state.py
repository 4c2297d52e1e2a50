"""What the accounts' process says of its troubles: a small file beside the records of blocks, for the pages to show."""

import contextlib
from pathlib import Path
from typing import Final

import msgspec

from mbongi.base.log import get_log

log = get_log(__name__)

FILE: Final = "accounts.json"
"""Below ``data_dir/pool``."""


class BooksState(msgspec.Struct, frozen=True, kw_only=True):
    """How many found blocks' records cannot be booked at present, and why the first of them cannot."""

    unbooked: int = 0
    reason: str = ""


def read_books_state(pool_folder: Path) -> BooksState:
    """What was said last; no trouble where nothing was said that can be read."""
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode((pool_folder / FILE).read_bytes(), type=BooksState)
    return BooksState()


def write_books_state(pool_folder: Path, state: BooksState) -> None:
    """Replace it. What cannot be written is logged: the trouble itself is in the log already."""
    draft = pool_folder / f".{FILE}"
    try:
        draft.write_bytes(msgspec.json.encode(state))
        draft.replace(pool_folder / FILE)
    except OSError as error:
        log.error("accounts_state_not_kept", file=FILE, error=error.strerror)  # noqa: TRY400
