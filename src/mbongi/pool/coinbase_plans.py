"""The plan by which coinbases pay accounts directly, out of the books."""

from django.db import transaction
from django.db.models import Max

from mbongi.base.clock import utc_now
from mbongi.pool.crediting import Division, accounts_of_scripts
from mbongi.pool.models import Account, Height, PlannedScript, Slice
from mbongi.pool.payout_plan import reserved_sat
from mbongi.pool.rules.payout.coinbase_plan import OUTPUTS_MAX, CoinbasePlan, PlannedOutput
from mbongi.pool.values import Scheme
from mbongi.pool.windows import by_account, work_before
from mbongi.wire.bitcoin.address import Network, script_of_address
from mbongi.wire.errors import WireError


@transaction.atomic
def plan_coinbase(division: Division, *, minimum_sat: int) -> CoinbasePlan | None:
    """Whom the next blocks may pay directly; None where the scheme does not say so before a block is found.

    What an account's balance lacks, of what it owes or of what an open payout has set aside, is kept back from it.
    Scripts are noted for good, so that whoever was paid is known when the block comes, whatever address it has then.
    """
    height = Height.objects.order_by("-height").first()
    last = Slice.objects.aggregate(last=Max("sequence"))["last"]
    if division.scheme not in {Scheme.PPLNS, Scheme.TIDES} or height is None or last is None:
        return None
    work = by_account(work_before(last, division.window_work(int(height.network_work))).by_worker)
    if not work:
        return None
    reserved = reserved_sat()
    largest = sorted(work, key=lambda name: (-work[name], name))[: 2 * OUTPUTS_MAX]
    outputs = []
    for account, script in _scripts(largest, division.network):
        output = PlannedOutput(
            script=script,
            work=str(work[account.name]),
            donation_ppm=account.donation_ppm,
            minimum_sat=max(minimum_sat, account.minimum_sat),
            debt_sat=max(reserved.get(account.name, 0) - account.balance_sat, 0),
        )
        outputs.append(output)
    return CoinbasePlan(
        made_at_ms=int(utc_now().timestamp() * 1000),
        fee_ppm=division.fee_ppm,
        total_work=str(sum(work.values())),
        outputs=tuple(outputs[:OUTPUTS_MAX]),
    )


def _scripts(names: list[str], network: Network) -> list[tuple[Account, str]]:
    """The accounts that can be paid, each with a script that no other account had before it."""
    accounts = Account.objects.filter(name__in=names).exclude(payout_address="").in_bulk(field_name="name")
    wanted: dict[str, Account] = {}
    for name in names:
        if name in accounts:
            try:
                script = script_of_address(accounts[name].payout_address, network).hex()
            except WireError:
                continue
            wanted.setdefault(script, accounts[name])
    PlannedScript.objects.bulk_create(
        [PlannedScript(script=script, account=account) for script, account in wanted.items()], ignore_conflicts=True
    )
    owners = accounts_of_scripts(wanted)
    return [(account, script) for script, account in wanted.items() if owners[script] == account.name]
