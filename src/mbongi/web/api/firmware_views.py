"""What the routes of firmware images and campaigns answer."""

from typing import Any

from django.conf import settings

from mbongi.fleet import campaign_rows, campaigns, image_rows, images
from mbongi.fleet.campaign_rows import CampaignRow
from mbongi.fleet.image_rows import ImageRow, KeyRow
from mbongi.fleet.images import NewImage
from mbongi.web.api import firmware_structs as structs
from mbongi.web.api.views import Call

PIECE_BYTES = 1 << 20


def firmware_file(call: Call) -> structs.FirmwareFile:
    """Take the body into the store, as it comes."""
    config, pieces = settings.CONFIG, iter(lambda: call.request.read(PIECE_BYTES), b"")
    stored = images.put_file(_user(call), pieces, data_dir=config.site.data_dir, bytes_max=config.fleet.image_bytes_max)
    return structs.FirmwareFile(sha256=stored.sha256, size_bytes=stored.size_bytes)


def firmware_images(_call: Call) -> structs.FirmwareImageList:
    """All images."""
    return structs.FirmwareImageList(items=[_image(row) for row in image_rows.images()])


def add_firmware_image(call: Call) -> structs.FirmwareImage:
    """Enter an image for a file of the store."""
    wish: NewImage = call.body
    return _image(images.add_image(_user(call), wish, data_dir=settings.CONFIG.site.data_dir))


def remove_firmware_image(call: Call) -> structs.FirmwareImageList:
    """Take one out; what is left."""
    images.remove_image(_user(call), call.number, data_dir=settings.CONFIG.site.data_dir, reason=call.body.reason)
    return firmware_images(call)


def firmware_keys(_call: Call) -> structs.FirmwareKeyList:
    """The keys that are trusted."""
    return structs.FirmwareKeyList(items=[_key(row) for row in image_rows.trusted_keys()])


def add_firmware_key(call: Call) -> structs.FirmwareKey:
    """Trust a key."""
    wish: structs.KeyRequest = call.body
    return _key(images.add_key(_user(call), wish.name, wish.public_key, reason=wish.reason))


def remove_firmware_key(call: Call) -> structs.FirmwareKeyList:
    """Trust one no more; what is left."""
    images.remove_key(_user(call), call.number, reason=call.body.reason)
    return firmware_keys(call)


def campaign_list(_call: Call) -> structs.CampaignList:
    """Campaigns, newest first."""
    return structs.CampaignList(items=[_campaign(row) for row in campaign_rows.campaigns()])


def preview_campaign(call: Call) -> structs.CampaignPreview:
    """A dry run."""
    wish: structs.CampaignRequest = call.body
    found = campaigns.preview(wish.image_id, wish.machine_ids, wish.plan)
    return structs.CampaignPreview(
        stages=[list(stage) for stage in found.stages],
        left={str(machine_id): why for machine_id, why in found.left.items()},
        without_image=found.without_image,
    )


def plan_campaign(call: Call) -> structs.Campaign:
    """Write one down; somebody else must approve its operation."""
    wish: structs.CampaignRequest = call.body
    row = campaigns.plan_campaign(
        _user(call), wish.image_id, wish.machine_ids, wish.plan, reason=wish.reason, limits=wish.limits
    )
    return _campaign(campaign_rows.campaign(row.id))


def one_campaign(call: Call) -> structs.Campaign:
    """One campaign, by its operation."""
    return _campaign(campaign_rows.campaign(call.number))


def continue_campaign(call: Call) -> structs.Campaign:
    """Let one on that stands."""
    campaigns.go_on(_user(call), call.number, reason=call.body.reason)
    return one_campaign(call)


def roll_back_campaign(call: Call) -> structs.Campaign:
    """Take one back."""
    campaigns.roll_back(_user(call), call.number, reason=call.body.reason)
    return one_campaign(call)


def _image(row: ImageRow) -> structs.FirmwareImage:
    return structs.FirmwareImage(
        id=row.id,
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        family=row.family,
        models=list(row.models),
        version=row.version,
        notes=row.notes,
        key=row.key,
        trusted=row.trusted,
        uploader=row.uploader,
        uploaded_at=row.uploaded_at,
    )


def _key(row: KeyRow) -> structs.FirmwareKey:
    return structs.FirmwareKey(
        id=row.id, name=row.name, public_key=row.public_key, added_by=row.added_by, added_at=row.added_at
    )


def _campaign(row: CampaignRow) -> structs.Campaign:
    return structs.Campaign(
        id=row.operation.id,
        image_id=row.image.id,
        version=row.image.version,
        state=row.operation.state,
        phase=row.phase,
        stage=row.stage,
        stages=[structs.CampaignStage(counts=dict(stage.counts)) for stage in row.stages],
        plan=row.plan,
        verdict=row.verdict,
        message=row.message,
        roll_back_id=row.roll_back_id,
    )


def _user(call: Call) -> Any:
    return call.request.user
