"""Tables of the fleet. Private: other domains use services, selectors and values.

Row-level security shows tenants the rows of their own machines only, so events and actions carry their machine's
tenant too. Columns of kinds and states hold words of ``values``. Django finds tables by importing this package, so
every one is named here.
"""

from mbongi.fleet.models.action import Action
from mbongi.fleet.models.curtailment import Curtailment, GridSignal, PowerReading, Trigger
from mbongi.fleet.models.diversion import Diversion
from mbongi.fleet.models.firmware import Campaign, CampaignMachine, CampaignVerdict, FirmwareImage, FirmwareKey
from mbongi.fleet.models.group import Group, GroupMove, Profile
from mbongi.fleet.models.healing import HealingAttempt, HealingReplay, HealingRule
from mbongi.fleet.models.hosting import (
    Closing,
    Contract,
    ContractVersion,
    Excuse,
    Hosted,
    HostedDay,
    Statement,
)
from mbongi.fleet.models.machine import Event, Machine, Owned
from mbongi.fleet.models.onboarding import Credential, Listing, Placement, Report, Walk
from mbongi.fleet.models.operation import Operation
from mbongi.fleet.models.saved_view import SavedView
from mbongi.fleet.models.work_order import Part, StockMove, WorkEntry, WorkOrder

__all__ = [
    "Action",
    "Campaign",
    "CampaignMachine",
    "CampaignVerdict",
    "Closing",
    "Contract",
    "ContractVersion",
    "Credential",
    "Curtailment",
    "Diversion",
    "Event",
    "Excuse",
    "FirmwareImage",
    "FirmwareKey",
    "GridSignal",
    "Group",
    "GroupMove",
    "HealingAttempt",
    "HealingReplay",
    "HealingRule",
    "Hosted",
    "HostedDay",
    "Listing",
    "Machine",
    "Operation",
    "Owned",
    "Part",
    "Placement",
    "PowerReading",
    "Profile",
    "Report",
    "SavedView",
    "Statement",
    "StockMove",
    "Trigger",
    "Walk",
    "WorkEntry",
    "WorkOrder",
]
