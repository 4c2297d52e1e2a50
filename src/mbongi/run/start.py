"""Starts one command: loads the configuration, imports the command's module, and turns errors into one clear line."""

import argparse
import ctypes
import importlib
import os
import signal
import sys
from collections.abc import Callable

from mbongi.base.collector import collect_rarely
from mbongi.base.config import load_config
from mbongi.base.errors import ConfigError, MbongiError
from mbongi.base.log import configure_log

SUPERVISOR = "MBONGI_SUPERVISOR_PID"
"""Set by the supervisor for its children, which stop when that process dies."""
_PR_SET_PDEATHSIG = 1  # prctl(2)


def start(command: str, words: list[str]) -> int:
    """Run ``./mbongi COMMAND WORDS`` and return its exit status.

    2: the configuration or command line cannot be used; 1: the command failed; 130: stopped by Ctrl-C.
    """
    stop_with_supervisor()
    collect_rarely()
    try:
        config = load_config()
        configure_log(process=command, level=config.log.level, style=config.log.style)
        module = importlib.import_module(f"mbongi.run.{command.replace('-', '_')}")
        summary = (module.__doc__ or "").split("\n\n", maxsplit=1)[0]
        parser = argparse.ArgumentParser(prog=f"mbongi {command}", description=summary)
        if hasattr(module, "add_arguments"):
            module.add_arguments(parser)
        result: int = module.main(config, parser.parse_args(words))
    except MbongiError as error:
        print(f"mbongi {command}: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        return 130
    return result


def stop_with_supervisor() -> None:
    """In a supervised process: ask the kernel for SIGTERM at the supervisor's death; exit if it is dead already."""
    parent = os.environ.pop(SUPERVISOR, "")
    if not parent:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit("mbongi: the supervisor that started this process is gone")


def dies_with_parent() -> Callable[[], None]:
    """What a child runs between fork and exec so that the kernel sends it SIGTERM when this process dies."""
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return ask
