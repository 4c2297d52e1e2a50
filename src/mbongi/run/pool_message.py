"""Shows a message to the people at the machines that mine here over Stratum V1."""

import argparse
import asyncio
from typing import Final

import msgspec

from mbongi.base.config import Config
from mbongi.base.errors import MbongiError
from mbongi.core.bus.client import Bus
from mbongi.run.pool_shard import MESSAGE_SUBJECT, SHOWN_SUBJECT, Message, Shown

ANSWERS_S: Final = 2.0
TEXT_CHARACTERS_MAX: Final = 500


class NotShownError(MbongiError, RuntimeError):
    """No pool process took the message."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The text, and whose machines."""
    parser.add_argument("text", type=_text, help=f"up to {TEXT_CHARACTERS_MAX} characters")
    parser.add_argument("--worker", default="", metavar="NAME", help="only on machines that mine under this name")


def _text(text: str) -> str:
    if not 0 < len(text) <= TEXT_CHARACTERS_MAX or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{len(text)} characters; expected 1 to {TEXT_CHARACTERS_MAX} printable ones")
    return text


def main(config: Config, arguments: argparse.Namespace) -> int:
    """Say it, and print on how many machines it was shown."""
    shown = asyncio.run(show(config, Message(arguments.text, arguments.worker)))
    if not shown:
        raise NotShownError("no pool process answered; is the pool running, and the bus?")
    print(f"shown on {sum(each.connections for each in shown)} machines")
    return 0


async def show(config: Config, message: Message) -> list[Shown]:
    """What the pool processes answered within ANSWERS_S. Raises BusUnavailable."""
    bus = await Bus.open(config, name="pool-message")
    shown: list[Shown] = []
    try:
        await bus.hear(SHOWN_SUBJECT, lambda data: shown.append(msgspec.json.decode(data, type=Shown)))
        await bus.tell(MESSAGE_SUBJECT, msgspec.json.encode(message))
        await asyncio.sleep(ANSWERS_S)
    finally:
        await bus.close()
    return shown
