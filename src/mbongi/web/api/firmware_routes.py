"""The part of the table of routes that is about firmware images and campaigns."""

from django.utils.translation import gettext_lazy as _

from mbongi.core.identity.values import Permission
from mbongi.fleet.images import NewImage
from mbongi.web.api import firmware_structs as structs
from mbongi.web.api import firmware_views as views
from mbongi.web.api.group_structs import ReasonRequest
from mbongi.web.api.route import Route, reading

_SEE, _MANAGE, _TRUST = Permission.FIRMWARE_VIEW, Permission.FIRMWARE_MANAGE, Permission.FIRMWARE_TRUST

FIRMWARE_ROUTES = (
    Route(
        "POST",
        "/firmware/files",
        views.firmware_file,
        structs.FirmwareFile,
        _MANAGE,
        _("Upload the file of an image: the body is its bytes"),
        status=201,
    ),
    reading("/firmware/images", views.firmware_images, structs.FirmwareImageList, _SEE, _("The images in the store")),
    Route(
        "POST",
        "/firmware/images",
        views.add_firmware_image,
        structs.FirmwareImage,
        _MANAGE,
        _("Enter a signed image for an uploaded file"),
        body=NewImage,
        status=201,
    ),
    Route(
        "POST",
        "/firmware/images/{id}/remove",
        views.remove_firmware_image,
        structs.FirmwareImageList,
        _MANAGE,
        _("Remove an image that no campaign uses"),
        body=ReasonRequest,
    ),
    reading(
        "/firmware/keys", views.firmware_keys, structs.FirmwareKeyList, _SEE, _("Keys whose signatures are trusted")
    ),
    Route(
        "POST",
        "/firmware/keys",
        views.add_firmware_key,
        structs.FirmwareKey,
        _TRUST,
        _("Trust the signatures of a key"),
        body=structs.KeyRequest,
        status=201,
    ),
    Route(
        "POST",
        "/firmware/keys/{id}/remove",
        views.remove_firmware_key,
        structs.FirmwareKeyList,
        _TRUST,
        _("Trust a key no more"),
        body=ReasonRequest,
    ),
    reading("/campaigns", views.campaign_list, structs.CampaignList, _SEE, _("Firmware campaigns, newest first")),
    Route(
        "POST",
        "/campaigns/preview",
        views.preview_campaign,
        structs.CampaignPreview,
        _MANAGE,
        _("What a campaign would do now; no machine is written"),
        body=structs.CampaignRequest,
    ),
    Route(
        "POST",
        "/campaigns",
        views.plan_campaign,
        structs.Campaign,
        _MANAGE,
        _("Plan a campaign; somebody else approves its operation"),
        body=structs.CampaignRequest,
        status=201,
    ),
    reading("/campaigns/{id}", views.one_campaign, structs.Campaign, _SEE, _("One campaign, by its operation")),
    Route(
        "POST",
        "/campaigns/{id}/continue",
        views.continue_campaign,
        structs.Campaign,
        _MANAGE,
        _("Let a campaign on that stands, in spite of its gate"),
        body=ReasonRequest,
    ),
    Route(
        "POST",
        "/campaigns/{id}/roll-back",
        views.roll_back_campaign,
        structs.Campaign,
        _MANAGE,
        _("Flash what the machines ran before"),
        body=ReasonRequest,
    ),
)
