"""Four machines, two images and two people: what the tests of campaigns set a campaign up with."""

from datetime import timedelta

import msgspec

from mbongi.base.clock import utc_now
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import campaign_work, campaigns, operation_rows, operations, pacing, services
from mbongi.fleet.action_work import Ending
from mbongi.fleet.campaign_gate import measure
from mbongi.fleet.models import Campaign, CampaignMachine, Machine
from mbongi.fleet.reading import MachineDetail, PoolDetail
from mbongi.fleet.rules.gate import Criteria
from mbongi.fleet.rules.stages import CampaignPlan, Stage
from tests.fleet.firmware_site import FakeStore, add_image, after_of, trust
from tests.fleet.rows import add_machines

POOLS = [{"url": "stratum+tcp://pool.example:3333", "user": "acct.1"}]
OLD, NEW = "FR-1", "FR-2"
BLOCK_S = 60
CRITERIA = Criteria(block_s=BLOCK_S, baseline_s=3600.0, warm_s=0.0, back_s=600.0)
PLAN = CampaignPlan(
    stages=(Stage(machines=1, soak_s=0.0, soak_max_s=7200.0), Stage(percent=100.0, soak_s=0.0, soak_max_s=7200.0)),
    criteria=CRITERIA,
)


class Bench:
    def __init__(self, lead, manager, data_dir):
        self.lead, self.manager, self.data_dir = lead, manager, data_dir
        self.key = trust(manager)
        self.old = add_image(lead, data_dir, OLD)
        self.image = add_image(lead, data_dir, NEW)
        self.ids = add_machines(4, firmware=OLD)
        detail = msgspec.to_builtins(MachineDetail(pools=[PoolDetail(**POOLS[0])]))
        Machine.objects.update(detail=detail, detail_at=utc_now())
        self.store = FakeStore()

    def plan(self, plan=PLAN):
        return campaigns.plan_campaign(self.lead, self.image.id, self.ids, plan, reason="faster")

    def started(self, plan=PLAN):
        row = self.plan(plan)
        operations.approve_operation(self.manager, row.id, reason="agreed", start=True)
        return row.id

    def drive(self, operation_id):
        """One look, as the fleet process does it."""
        campaign_work.drive(operation_id, lambda asked: measure(asked, self.store))
        pacing.advance(operation_id)

    def perform(self, *, version=NEW, pools=POOLS, done=True, message="ok", answer=True):
        """The Actor's part: every step that was released ends so. Returns the machines."""
        work = services.claim_actions(100)
        after = after_of(version, pools) if answer else {"firmware": None, "pools": None}
        services.finish_actions(
            [
                Ending(
                    each.action_id, done=done, message=message, before=after_of(OLD, POOLS), after=after, verified=done
                )
                for each in work
            ]
        )
        ids = [each.machine_id for each in work]
        Machine.objects.filter(pk__in=ids).update(last_seen_at=utc_now() + timedelta(seconds=1), firmware=version)
        return ids

    def measured(self, flashed, *, factor=1.0, minutes=30):
        """Half an hour passes: the flashed machines hash by ``factor`` of what all did the hour before."""
        now = utc_now()
        CampaignMachine.objects.filter(machine__in=flashed).update(
            begun_at=now - timedelta(minutes=minutes + 1), back_at=now - timedelta(minutes=minutes)
        )
        Campaign.objects.update(phase_at=now - timedelta(minutes=minutes))
        split = (now - timedelta(minutes=minutes)).timestamp()
        self.store.fill(self.ids, split - 3600, split - 60, 200.0, BLOCK_S)
        rest = [each for each in self.ids if each not in flashed]
        self.store.fill(flashed, split, now.timestamp(), 200.0 * factor, BLOCK_S)
        self.store.fill(rest, split, now.timestamp(), 200.0, BLOCK_S)

    def states(self):
        return dict(CampaignMachine.objects.values_list("machine_id", "state"))


def campaign_of(operation_id):
    return Campaign.objects.get(operation=operation_id)


def state_of(operation_id):
    return operation_rows.operation(operation_id).state


def verbs(operation_id):
    found = ledger.entries(limit=1000)
    subject = f"operation:{operation_id}"
    return [entry.action.rpartition(".")[2] for entry in reversed(found) if entry.subject == subject]
