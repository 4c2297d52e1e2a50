"""Pays the pool's miners: propose, approve, take to be signed, bring back, and see how far each payout is.

Whoever acts is named by the e-mail of their account (--as). A payout is proposed by one person and approved by another;
it is signed outside; the pool-accounts process sends it and follows it.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mbongi.base.config import Config
from mbongi.base.errors import MbongiError
from mbongi.run.database import use_database

if TYPE_CHECKING:
    from mbongi.pool.paying_steps import NewCoin
    from mbongi.pool.payment_rows import PaymentRow
    from mbongi.pool.payout_plan import Plan

SAT: Final = 100_000_000
PSBT_CHARS_MAX: Final = 32_000_000
ROWS_MAX: Final = 40


class PayoutCommandError(MbongiError, RuntimeError):
    """The command cannot be done as asked."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    commands = parser.add_subparsers(dest="what", required=True)
    listed = commands.add_parser("list", help="the newest payouts")
    listed.add_argument("--limit", type=int, default=20)
    status = commands.add_parser("status", help="the pool's coins, and one payout in full")
    status.add_argument("id", type=int, nargs="?")
    _add_propose(commands)
    approve = _add_step(commands, "approve", "approve a payout that somebody else proposed")
    approve.add_argument("--txid", required=True, help="the id of its unsigned transaction, as `status` shows it")
    export = _add_step(commands, "export", "write the file (PSBT) that is to be signed outside")
    export.add_argument("--file", type=Path, help="where to; else it is printed")
    imported = _add_step(commands, "import", "take the signed file back; it is checked, and the payout goes out")
    imported.add_argument("files", type=Path, nargs="+", metavar="FILE", help="- is the standard input")
    cancel = _add_step(commands, "cancel", "give a payout up that is not sent")
    cancel.add_argument("--reason", required=True)
    replace = _add_step(commands, "replace", "propose to send one again, that no block takes, at a higher fee")
    replace.add_argument("--fee-rate", type=float, required=True, metavar="SAT_VB")
    replace.add_argument("--reason", required=True)
    deposit = commands.add_parser("deposit", help="enter coins that were sent to the pool's address, to pay from")
    deposit.add_argument("block", help="the hash of the block that holds them")
    deposit.add_argument("txid")
    deposit.add_argument("index", type=int)
    deposit.add_argument("--as", dest="person", required=True, metavar="EMAIL")
    deposit.add_argument("--reason", required=True)
    address = commands.add_parser("address", help="state where an account is paid")
    address.add_argument("account")
    address.add_argument("address")
    address.add_argument("--as", dest="person", required=True, metavar="EMAIL")
    address.add_argument("--reason", required=True)
    sign = commands.add_parser("practice-sign", help="on the practice chain: sign a file with the practice key")
    sign.add_argument("file", type=Path, help="- is the standard input")


def _add_propose(commands: Any) -> None:
    propose = commands.add_parser("propose", help="propose a payout of all payable balances")
    propose.add_argument("--as", dest="person", metavar="EMAIL")
    propose.add_argument("--reason", default="")
    propose.add_argument("--dry-run", action="store_true", help="show it in every detail and change nothing")
    propose.add_argument("--fee-rate", type=float, metavar="SAT_VB", help="default: pool.payout_fee_sat_vb")
    propose.add_argument("--payer", choices=["recipients", "pool"], help="default: pool.payout_fee_payer")
    propose.add_argument("--account", action="append", default=[], help="this one only; may be given several times")
    propose.add_argument("--in-advance", action="store_true", help="also what comes from coins that still rest")


def _add_step(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    step: argparse.ArgumentParser = commands.add_parser(name, help=text)
    step.add_argument("id", type=int)
    step.add_argument("--as", dest="person", required=True, metavar="EMAIL")
    return step


def main(config: Config, arguments: argparse.Namespace) -> int:
    """Do what was asked. Raises MbongiError where it cannot be done."""
    use_database()
    from mbongi.core.identity.scope import SITE, acting  # noqa: PLC0415 -- Django must be set up first

    commands = {
        "list": _list,
        "status": _status,
        "propose": _propose,
        "approve": _approve,
        "export": _export,
        "import": _import,
        "cancel": _cancel,
        "replace": _replace,
        "deposit": _deposit,
        "address": _address,
        "practice-sign": _practice_sign,
    }
    with acting(SITE):
        commands[arguments.what](config, arguments)
    return 0


def _list(_config: Config, arguments: argparse.Namespace) -> None:
    from mbongi.pool import payment_rows  # noqa: PLC0415

    for row in payment_rows.payments(limit=arguments.limit):
        print(_line(row))


def _status(_config: Config, arguments: argparse.Namespace) -> None:
    from mbongi.pool import payment_rows  # noqa: PLC0415

    totals = payment_rows.coin_totals()
    print(
        f"coins: {_btc(totals.spendable_sat)} in {totals.spendable} to spend, {_btc(totals.resting_sat)} rest,"
        f" {_btc(totals.taken_sat)} taken by payouts under way"
    )
    if arguments.id is None:
        return
    row = payment_rows.payment(arguments.id)
    if row is None:
        raise PayoutCommandError(f"payout {arguments.id}: not known")
    print(_line(row))
    print(f"reason: {row.reason}\nunsigned transaction: {row.unsigned_txid}")
    for approval in payment_rows.approvals(row.id):
        print(f"approved by {approval.name or approval.approved_by} {approval.approved_at.isoformat('T', 'seconds')}")
    if row.block_hash:
        print(f"in block {row.block_hash} at {row.block_height}, {row.confirmations} confirmations")
    for output in payment_rows.outputs(row.id, limit=ROWS_MAX):
        print(f"  {output.index:>5}  {output.account:<24} {_btc(output.amount_sat)} -> {_btc(output.sent_sat)}", end="")
        print(f"  {output.address}")
    if row.outputs > ROWS_MAX:
        print(f"  and {row.outputs - ROWS_MAX} more")


def _propose(config: Config, arguments: argparse.Namespace) -> None:
    from mbongi.pool.payments import propose_payout  # noqa: PLC0415
    from mbongi.pool.payout_plan import Wish, plan_payout  # noqa: PLC0415
    from mbongi.pool.rules.payout.batch import FeePayer  # noqa: PLC0415
    from mbongi.pool.terms import terms_of  # noqa: PLC0415

    terms = terms_of(config)
    wish = Wish(
        fee_sat_kvb=None if arguments.fee_rate is None else round(arguments.fee_rate * 1000),
        payer=FeePayer(arguments.payer) if arguments.payer else None,
        accounts=tuple(arguments.account),
        in_advance=arguments.in_advance,
    )
    if arguments.dry_run:
        _show(plan_payout(terms, wish))
        return
    if not arguments.person:
        raise PayoutCommandError("propose: nobody is named; add --as EMAIL, or --dry-run to look only")
    number = propose_payout(_person(arguments), terms, wish, reason=arguments.reason)
    print(f"payout {number} is proposed; somebody else approves it: ./mbongi payout status {number}")


def _show(plan: "Plan") -> None:
    batch = plan.batch
    for each in batch.paid[:ROWS_MAX]:
        print(f"  {each.index:>5}  {each.account:<24} {_btc(each.amount_sat)} -> {_btc(each.sent_sat)}", end="")
        print(f"  {plan.addresses[each.account]}")
    if len(batch.paid) > ROWS_MAX:
        print(f"  and {len(batch.paid) - ROWS_MAX} more")
    for account, reason in plan.waiting.items():
        print(f"  {account:<24} waits: {reason}")
    for coin in batch.coins[:ROWS_MAX]:
        print(f"  spends {coin.name} of {_btc(coin.value_sat)}")
    print(
        f"pays {_btc(batch.amount_sat)} to {len(batch.paid)} accounts from {len(batch.coins)} coins; fee"
        f" {batch.fee_sat} sat ({plan.policy.fee_sat_kvb / 1000:g} sat/vB of {batch.vsize} vB, {plan.policy.payer} pay,"
        f" the pool {batch.pool_fee_sat} sat); change {_btc(batch.change_sat)}"
    )
    print(f"unsigned transaction {plan.unsigned_txid}\n{batch.transaction.encode().hex()}")


def _approve(config: Config, arguments: argparse.Namespace) -> None:
    from mbongi.pool.payments import approve_payout  # noqa: PLC0415
    from mbongi.pool.terms import terms_of  # noqa: PLC0415

    state = approve_payout(_person(arguments), terms_of(config), arguments.id, unsigned_txid=arguments.txid)
    print(f"payout {arguments.id} is {'approved; export it to be signed' if state == 'approved' else state}")


def _export(config: Config, arguments: argparse.Namespace) -> None:
    from mbongi.pool.payments import export_payout  # noqa: PLC0415
    from mbongi.pool.terms import terms_of  # noqa: PLC0415

    text = export_payout(_person(arguments), terms_of(config), arguments.id)
    if arguments.file is None:
        print(text)
        return
    try:
        arguments.file.write_text(text + "\n", encoding="ascii")
    except OSError as error:
        raise PayoutCommandError(f"{arguments.file}: cannot be written: {error.strerror}") from error


def _import(config: Config, arguments: argparse.Namespace) -> None:
    from mbongi.pool.payments import import_signed  # noqa: PLC0415
    from mbongi.pool.terms import terms_of  # noqa: PLC0415

    texts = [_read(path) for path in arguments.files]
    txid = import_signed(_person(arguments), terms_of(config), arguments.id, texts)
    print(f"payout {arguments.id} is signed; transaction {txid} goes out")


def _cancel(config: Config, arguments: argparse.Namespace) -> None:
    from mbongi.pool.payments import cancel_payout  # noqa: PLC0415
    from mbongi.pool.terms import terms_of  # noqa: PLC0415

    cancel_payout(_person(arguments), terms_of(config), arguments.id, reason=arguments.reason)
    print(f"payout {arguments.id} is cancelled")


def _replace(config: Config, arguments: argparse.Namespace) -> None:
    from mbongi.pool.payments import propose_replacement  # noqa: PLC0415
    from mbongi.pool.terms import terms_of  # noqa: PLC0415

    rate, why = round(arguments.fee_rate * 1000), arguments.reason
    terms = terms_of(config)
    number = propose_replacement(_person(arguments), terms, arguments.id, fee_sat_kvb=rate, reason=why)
    print(f"payout {number} would replace {arguments.id}; somebody else approves it: ./mbongi payout status {number}")


def _deposit(config: Config, arguments: argparse.Namespace) -> None:
    from mbongi.pool.deposits import enter_deposit  # noqa: PLC0415
    from mbongi.pool.terms import terms_of  # noqa: PLC0415

    person, terms = _person(arguments), terms_of(config)
    coin = asyncio.run(_found_coin(config, arguments.block, arguments.txid, arguments.index))
    sat = enter_deposit(person, terms, coin, reason=arguments.reason)
    print(f"{_btc(sat)} are entered; they may be spent from its next confirmations on")


async def _found_coin(config: Config, block_hash: str, txid: str, index: int) -> "NewCoin":
    """An output that the best chain holds, from its block, by the first configured node."""
    from mbongi.pool.adapters.node_paying import PayingNode  # noqa: PLC0415
    from mbongi.pool.daemon.paying import transaction_of  # noqa: PLC0415
    from mbongi.pool.paying_steps import NewCoin  # noqa: PLC0415
    from mbongi.run.pool_nodes import nodes_of  # noqa: PLC0415

    nodes = nodes_of(config)
    try:
        node = PayingNode(nodes[0])
        raw = await transaction_of(node, block_hash, txid)
        height = (await nodes[0].header(block_hash)).height
        if await node.block_hash(height) != block_hash or not await node.holds(txid, index):
            raise PayoutCommandError(f"coin {txid}:{index}: the best chain does not hold it, unspent, in {block_hash}")
        return NewCoin(raw, index, height)
    finally:
        for each in nodes:
            await each.close()


def _address(config: Config, arguments: argparse.Namespace) -> None:
    from mbongi.pool.payments import set_payout_address  # noqa: PLC0415
    from mbongi.pool.terms import terms_of  # noqa: PLC0415

    who, why = _person(arguments), arguments.reason
    set_payout_address(who, terms_of(config), arguments.account, arguments.address, reason=why)
    print(f"{arguments.account} is paid to {arguments.address}")


def _practice_sign(config: Config, arguments: argparse.Namespace) -> None:
    from mbongi.pool.adapters.practice_wallet import PracticeWallet  # noqa: PLC0415
    from mbongi.pool.terms import PRACTICE  # noqa: PLC0415
    from mbongi.wire.bitcoin.psbt import Psbt  # noqa: PLC0415

    if config.pool.network != PRACTICE:
        raise PayoutCommandError(f"practice-sign: the pool is on {config.pool.network}; sign outside")
    print(PracticeWallet.of(config.site.data_dir).sign(Psbt.from_base64(_read(arguments.file))).to_base64())


def _person(arguments: argparse.Namespace) -> Any:
    from mbongi.core.identity.selectors import users  # noqa: PLC0415

    found = users().filter(email__iexact=arguments.person, is_active=True).first()
    if found is None:
        raise PayoutCommandError(f"{arguments.person}: no open account has this e-mail")
    return found


def _read(path: Path) -> str:
    try:
        text = sys.stdin.read(PSBT_CHARS_MAX) if str(path) == "-" else path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise PayoutCommandError(f"{path}: cannot be read: {error}; expected a PSBT in base64") from error
    return text.strip()


def _line(row: "PaymentRow") -> str:
    parts = [
        f"{row.id:>5}",
        f"{row.state:<10}",
        row.proposed_at.isoformat("T", "seconds"),
        f"by {row.proposer or row.proposed_by}",
        f"{_btc(row.amount_sat)} to {row.outputs}",
        f"fee {row.fee_sat} sat",
        f"instead of {row.replaces}" if row.replaces else "",
        row.txid,
        row.message,
    ]
    return "  ".join(part for part in parts if part)


def _btc(sat: int) -> str:
    return f"{sat // SAT}.{sat % SAT:08} BTC"
