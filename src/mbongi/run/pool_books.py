"""What `pool-accounts` does once: the audit, a miner's proof, a change of an account."""

import argparse
import sys
from typing import Any

from mbongi.base.config import Config
from mbongi.base.errors import MbongiError


class BooksCommandError(MbongiError, RuntimeError):
    """The command cannot be done as asked."""


def add_commands(parser: argparse.ArgumentParser) -> None:
    """The command lines."""
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("audit", help="recompute balances, windows and sums; status 1 and the differences, if any")
    proof = commands.add_parser("proof", help="print the proof that a worker's work counts in a block's window")
    proof.add_argument("window", help="the block's hash")
    proof.add_argument("worker", help="the whole user name")
    change = commands.add_parser("set", help="change an account: its least payout, its donation, its tenant")
    change.add_argument("account")
    change.add_argument("--minimum-sat", type=int, metavar="SAT")
    change.add_argument("--donation-ppm", type=int, metavar="PPM")
    change.add_argument("--tenant", metavar="CODE", help="whose it is; - for the site's own")
    change.add_argument("--as", dest="person", required=True, metavar="EMAIL")
    change.add_argument("--reason", required=True)


def run(config: Config, arguments: argparse.Namespace) -> int:
    """Do what was asked; the exit status. Raises MbongiError. Django must be set up."""
    from mbongi.core.identity.scope import SITE, acting  # noqa: PLC0415 -- Django must be set up first

    with acting(SITE):
        return {"audit": _audit, "proof": _proof, "set": _set}[arguments.command](config, arguments)


def _audit(config: Config, _arguments: argparse.Namespace) -> int:
    from mbongi.pool.audit import audit  # noqa: PLC0415
    from mbongi.pool.windows import proof_secret  # noqa: PLC0415

    report = audit(proof_secret(config.site.data_dir))
    for line in report.differences:
        print(f"DIFFERS  {line}")
    for name, value in report.counts.items():
        print(f"{value:>24,}  {name}", file=sys.stderr)
    print("the books differ" if report.differences else "the books agree")
    return 1 if report.differences else 0


def _proof(config: Config, arguments: argparse.Namespace) -> int:
    from mbongi.pool import selectors  # noqa: PLC0415
    from mbongi.pool.windows import proof_secret  # noqa: PLC0415

    proof = selectors.share_proof(arguments.window, arguments.worker, proof_secret(config.site.data_dir))
    if proof is None:
        raise BooksCommandError(f"window {arguments.window}: no work of {arguments.worker}")
    sys.stdout.write(proof.encoded().decode())
    return 0


def _set(_config: Config, arguments: argparse.Namespace) -> int:
    from mbongi.core.identity.selectors import users  # noqa: PLC0415
    from mbongi.pool.account_settings import AccountChange, change_account  # noqa: PLC0415

    person = users().filter(email__iexact=arguments.person).first()
    if person is None:
        raise BooksCommandError(f"{arguments.person}: no such person")
    change = AccountChange(arguments.minimum_sat, arguments.donation_ppm, _tenant(arguments.tenant))
    change_account(person, arguments.account, change, reason=arguments.reason)
    print(f"account {arguments.account} is changed")
    return 0


def _tenant(code: str | None) -> int | None:
    from mbongi.core.identity.selectors import tenants  # noqa: PLC0415

    if code is None or code == "-":
        return None if code is None else 0
    found: Any = tenants().filter(code=code).first()
    if found is None:
        raise BooksCommandError(f"tenant {code}: not known")
    return int(found.pk)
