"""Writes a firmware image for virtual machines, good or bad: `twin-image --family antminer --version FR-2 OUT`."""

import argparse
import sys
from pathlib import Path

import msgspec

from mbongi.base.config import Config
from mbongi.twin.images import SIZE_BYTES, Effects, build


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the image is for, and what it does."""
    parser.add_argument("--family", required=True, help="such as antminer, whatsminer, whatsminer_v3, bitaxe, vnish")
    parser.add_argument("--version", required=True, help="what a machine states that runs it")
    parser.add_argument("--model", action="append", default=[], help="only for this model; may be repeated")
    parser.add_argument(
        "--effect", action="append", default=[], metavar="NAME=VALUE", help="such as hashrate_factor=0.8"
    )
    parser.add_argument("--bytes", type=int, default=SIZE_BYTES, help="size, about")
    parser.add_argument("out", type=Path, metavar="OUT", help="the file to write")


def main(_config: Config, arguments: argparse.Namespace) -> int:
    """Write it; 2 for an effect that there is not."""
    try:
        effects = msgspec.convert(dict(_pair(text) for text in arguments.effect), Effects, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        print(f"twin-image: {error}; effects: {', '.join(Effects.__struct_fields__)}", file=sys.stderr)
        return 2
    data = build(
        arguments.family,
        arguments.version,
        models=tuple(arguments.model),
        effects=effects,
        size_bytes=arguments.bytes,
    )
    arguments.out.write_bytes(data)
    print(f"{arguments.out}: {len(data)} bytes")
    return 0


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise ValueError(f"--effect {text}: expected NAME=VALUE")
    return name, value
