"""A campaign that waits for its approval, for tests of the API."""

from pathlib import Path
from typing import Any

from mbongi.core.identity.scope import SITE, acting
from mbongi.fleet import campaigns
from mbongi.fleet.models import Machine
from mbongi.fleet.rules.stages import CampaignPlan
from tests.fleet.firmware_site import add_image, trust


def number_for(path: str, user: Any, machine: Machine, otherwise: int, data_dir: Path) -> int:
    """The number that a route of campaigns is asked for with."""
    if path != "/campaigns/{id}":
        return otherwise
    with acting(SITE):
        trust(user)
        image = add_image(user, data_dir, "FR-2")
        return campaigns.plan_campaign(user, image.id, [machine.pk], CampaignPlan(), reason="quicker").id
