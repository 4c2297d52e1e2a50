"""Passwords of virtual machines of each family: changed, proved, and found out where the change was interrupted."""

import pytest

from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.control import execute
from mbongi.fleet.device_errors import DeniedError, RejectedError
from mbongi.fleet.reading import Target
from mbongi.fleet.values import ActionKind, Family
from mbongi.twin.site import VirtualSite
from tests.fleet.beds import fleet_of, targets_of, virtual_site

WITH = (
    Family.ANTMINER,
    Family.WHATSMINER,
    Family.WHATSMINER_V3,
    Family.AVALON,
    Family.VNISH,
    Family.BRAIINS,
)
WITHOUT = (Family.BITAXE, Family.LUXOS)
CHANGE = ActionKind.SET_CREDENTIALS


async def change(site: VirtualSite, target: Target, new: str, *, dry_run: bool = False, **options):
    config = fleet_of(site.config, timeout_s=2.0, **options)
    return await execute(config, target, CHANGE, {"new": new}, dry_run=dry_run)


@pytest.mark.parametrize("family", WITH)
async def test_a_new_password_is_accepted_alone_and_found_again(family: Family) -> None:
    new = "n3wPassw0rdOfThisOne"[: adapter_of(family).abilities.password_length]
    async with virtual_site("127.23.0.0/16", machines=1, families=(family,)) as site:
        [target] = targets_of(site)

        planned = await change(site, target, new, dry_run=True)
        assert planned.verified is None
        assert planned.before != planned.after

        outcome = await change(site, target, new)
        assert outcome.verified, outcome.message
        assert new not in repr(outcome)

        again = await change(site, target, new)
        assert "already" in again.message
        assert again.before == again.after

        lost = await _refusal(site, target, "somethingElse"[: len(new)])
        assert "none of the" in lost


async def _refusal(site: VirtualSite, target: Target, new: str) -> str:
    with pytest.raises(DeniedError) as caught:
        await change(site, target, new)
    return str(caught.value)


@pytest.mark.parametrize("family", WITHOUT)
async def test_a_family_without_a_password_is_told_none(family: Family) -> None:
    assert adapter_of(family).abilities.password_length == 0
    async with virtual_site("127.23.0.0/16", machines=1, families=(family,)) as site:
        [target] = targets_of(site)
        with pytest.raises(RejectedError, match="nothing was written"):
            await change(site, target, "n3wPassw0rd")
