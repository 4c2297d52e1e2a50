"""The texts' translations: ``.po`` files are kept, the ``.mo`` files that Django reads are made from them."""

import os
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LOCALE = Path(__file__).parent.parent / "locale"


def compile_catalogues() -> None:
    """Make every catalogue that is older than its texts, so that Django finds it."""
    for texts in LOCALE.glob("*/LC_MESSAGES/django.po"):
        made = texts.with_suffix(".mo")
        if made.is_file() and made.stat().st_mtime >= texts.stat().st_mtime:
            continue
        with texts.open("rb") as source:
            catalogue = read_po(source)
        # A name of its own, since two processes may start at the same time.
        partial = made.with_suffix(f".{os.getpid()}.partial")
        with partial.open("wb") as target:
            write_mo(target, catalogue)
        partial.replace(made)
