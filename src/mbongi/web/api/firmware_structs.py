"""What the API takes and gives of firmware images and campaigns."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from mbongi.fleet.rules.gate import Verdict
from mbongi.fleet.rules.stages import CampaignPlan, Phase
from mbongi.fleet.values import Family, Limits, OperationState
from mbongi.web.api.group_structs import MachineIds, Reason

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class FirmwareFile(msgspec.Struct, kw_only=True):
    """A file that was taken into the store; it goes within a day unless an image is entered for it."""

    sha256: str
    size_bytes: int


class FirmwareImage(msgspec.Struct, kw_only=True):
    """An image of the store. ``models`` empty: all of the family; ``trusted``: its key still is."""

    id: int
    sha256: str
    size_bytes: int
    family: Family
    models: list[str]
    version: str
    notes: str
    key: str
    trusted: bool
    uploader: str
    uploaded_at: datetime


class FirmwareImageList(msgspec.Struct, kw_only=True):
    """The images, newest first."""

    items: list[FirmwareImage]


class FirmwareKey(msgspec.Struct, kw_only=True):
    """A public key (Ed25519, hexadecimal) whose signatures are trusted."""

    id: int
    name: str
    public_key: str
    added_by: str
    added_at: datetime


class FirmwareKeyList(msgspec.Struct, kw_only=True):
    """The keys, by name."""

    items: list[FirmwareKey]


class KeyRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A key to be trusted: hexadecimal, base64 or PEM."""

    name: Annotated[str, Meta(min_length=1, max_length=60)]
    public_key: Annotated[str, Meta(max_length=1000)]
    reason: Reason


class CampaignRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A campaign: the image, the machines of which those that it fits are flashed, stages and gate."""

    image_id: int
    machine_ids: MachineIds
    plan: CampaignPlan = CampaignPlan()
    limits: Limits | None = None
    reason: str = ""


class CampaignPreview(msgspec.Struct, kw_only=True):
    """A dry run: the machines of each stage, why others are left, how many could not be rolled back."""

    stages: list[list[int]]
    left: dict[str, str]
    without_image: int


class CampaignStage(msgspec.Struct, kw_only=True):
    """The machines of one stage by state."""

    counts: dict[str, int]


class Campaign(msgspec.Struct, kw_only=True):
    """A campaign; ``id`` is that of its operation, through which it is approved, paused and cancelled."""

    id: int
    image_id: int
    version: str
    state: OperationState
    phase: Phase
    stage: int
    stages: list[CampaignStage]
    plan: CampaignPlan
    verdict: Verdict | None
    message: str
    roll_back_id: int | None


class CampaignList(msgspec.Struct, kw_only=True):
    """Campaigns, newest first."""

    items: list[Campaign]
