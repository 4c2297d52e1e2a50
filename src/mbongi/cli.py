"""The command line: names every command, and imports only the one that is asked for."""

import sys
from typing import Final

VERSION: Final = "0.1.0"

GROUPS: Final[tuple[tuple[str, tuple[tuple[str, str], ...]], ...]] = (
    (
        "The site",
        (
            ("up", "start the whole site and print the link to open"),
            ("status", "say what runs, since when, and what is wrong"),
            ("account", "make the one-time link to the first account"),
            ("healing", "list healing rules, or replay the past with them"),
            ("ledger", "verify the record, or sign a checkpoint of it"),
            ("payout", "pay the pool's miners: list, propose, approve, export, import, status"),
            ("migrate", "bring the database's tables up to date"),
            ("pool-restart", "restart the pool's processes one by one, while miners mine on"),
            ("pool-message", "show a text on machines that mine here over Stratum V1"),
        ),
    ),
    (
        "One process each (up starts all but proxy)",
        (
            ("postgres", "the embedded database"),
            ("bus", "the embedded message bus"),
            ("telemetry", "the embedded telemetry store and its gateway"),
            ("ingest", "bus to telemetry store; serves the latest reading of every machine"),
            ("recorder", "committed events to the bus"),
            ("fleet", "find, poll and control machines; `fleet scan RANGE` looks once"),
            ("facility", "ask the plant's meters, UPS, PDU and cooling; `facility devices FILE` enters a list"),
            ("energy", "plan supply and load every five minutes; watch for black-outs"),
            ("twin", "the virtual site"),
            ("pool", "the mining pool: templates, Stratum V1 and V2, the log of shares"),
            ("pool-server", "one of several processes that take miners' connections, with pool.processes"),
            ("proxy", "miners in Stratum V1 behind one encrypted Stratum V2 link to a pool"),
            ("pool-accounts", "shares and blocks into accounts; `pool-accounts audit` adds everything up again"),
            ("regtest", "a full node on a practice chain of its own"),
            ("web", "the control room"),
        ),
    ),
    (
        "Working on Mbongi",
        (
            ("test", "run every test"),
            ("check", "style, types, the house's import rules, migrations"),
            ("bench", "measure: bench NAME [--json]"),
            ("twin-image", "write a firmware image for virtual machines"),
            ("screenshots", "make the README's pictures"),
            ("lock", "lock the Python and npm packages anew"),
        ),
    ),
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status is 2 for a wrong command line or configuration."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in {"-h", "--help", "help"}:
        print(help_text())
        return 0
    if words[0] == "--version":
        print(f"mbongi {VERSION}")
        return 0
    command, *rest = words
    if command not in command_names():
        print(f"mbongi: {command}: no such command; ./mbongi --help lists them all", file=sys.stderr)
        return 2
    from mbongi.run.start import start  # noqa: PLC0415 -- --help and mistakes answer without loading anything

    return start(command, rest)


def command_names() -> tuple[str, ...]:
    """Every command, in the order of the help."""
    return tuple(name for _title, commands in GROUPS for name, _summary in commands)


def help_text() -> str:
    """All commands, grouped, one line each."""
    lines = [
        "Mbongi runs a blockchain and AI data centre, from its first pilot machines to the full site.",
        "",
        "usage: ./mbongi COMMAND [OPTIONS]      ./mbongi COMMAND --help says more about one",
    ]
    for title, commands in GROUPS:
        lines += ["", f"{title}:", *(f"  {name:<13} {summary}" for name, summary in commands)]
    lines += ["", "Settings: mbongi.toml beside ./mbongi, or MBONGI_SECTION_KEY variables; the README has the table."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
