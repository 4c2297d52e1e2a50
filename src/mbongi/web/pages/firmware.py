"""The store of firmware images, and whose signatures are trusted."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from mbongi.core.identity.values import Permission
from mbongi.fleet import image_rows, images
from mbongi.fleet.errors import ImageRefusedError, NotPermittedError, UnknownImageError
from mbongi.fleet.images import NewImage
from mbongi.fleet.values import Family
from mbongi.web.guard import needs
from mbongi.web.pages.attempts import attempt
from mbongi.web.templatetags.fleet import family_name

HERE = "/fleet/firmware/"
SIGNATURE_MAX = 4096


@require_http_methods(["GET", "POST"])
@needs(Permission.FIRMWARE_VIEW)
def firmware(request: HttpRequest) -> HttpResponse:
    """All images and keys; POST uploads an image. The script shows how far an upload is."""
    refusal = ""
    if request.method == "POST":
        try:
            row = _upload(request)
        except ImageRefusedError as error:
            refusal = error.text
        else:
            messages.success(request, _("Version %(version)s is in the store.") % {"version": row.version})
            if request.headers.get("X-Requested-With") == "XMLHttpRequest":
                return HttpResponse(status=201, headers={"Location": HERE})
            return redirect(HERE)
    user: Any = request.user
    content = {
        "images": image_rows.images(),
        "keys": image_rows.trusted_keys(),
        "families": [(family.value, family_name(family)) for family in image_rows.flashable()],
        "limit_mb": settings.CONFIG.fleet.image_bytes_max // 2**20,
        "may_upload": user.may(Permission.FIRMWARE_MANAGE),
        "may_trust": user.may(Permission.FIRMWARE_TRUST),
        "may_run": user.may(Permission.FIRMWARE_MANAGE) and user.may(Permission.OPERATION_RUN),
        "given": request.POST,
        "refusal": refusal,
    }
    return render(request, "pages/firmware.html", content, status=400 if refusal else 200)


def _upload(request: HttpRequest) -> image_rows.ImageRow:
    user: Any = request.user
    given, file = request.POST, request.FILES.get("image")
    if file is None:
        raise ImageRefusedError("upload an image: no file", _("Choose the file of the image."))
    config = settings.CONFIG
    try:
        stored = images.put_file(
            user, file.chunks(), data_dir=config.site.data_dir, bytes_max=config.fleet.image_bytes_max
        )
        wish = NewImage(
            sha256=stored.sha256,
            family=Family(given.get("family", "")),
            version=given.get("version", ""),
            models=tuple(given.get("models", "").replace("\n", ",").split(",")),
            notes=given.get("notes", ""),
            signature=_signature(request),
        )
        return images.add_image(user, wish, data_dir=config.site.data_dir)
    except NotPermittedError as error:
        raise PermissionDenied from error
    except ValueError as error:
        if isinstance(error, ImageRefusedError):
            raise
        raise ImageRefusedError(f"upload: {error}", _("The form cannot be used; load the page again.")) from error


def _signature(request: HttpRequest) -> str:
    """Typed in, or a file: 64 raw bytes, or their text."""
    file = request.FILES.get("signature_file")
    if file is None:
        return request.POST.get("signature", "")
    content: bytes = file.read(SIGNATURE_MAX)
    return content.hex() if len(content) == 64 else content.decode("ascii", "replace")


@require_POST
@needs(Permission.FIRMWARE_MANAGE)
def remove(request: HttpRequest, image_id: int) -> HttpResponse:
    """Take an image out of the store."""
    user: Any = request.user

    def do() -> str:
        images.remove_image(
            user, image_id, data_dir=settings.CONFIG.site.data_dir, reason=request.POST.get("reason", "")
        )
        return HERE

    return _attempted(request, do)


@require_POST
@needs(Permission.FIRMWARE_TRUST)
def add_key(request: HttpRequest) -> HttpResponse:
    """Trust a key."""
    user: Any = request.user
    given = request.POST

    def do() -> str:
        images.add_key(user, given.get("name", ""), given.get("public_key", ""), reason=given.get("reason", ""))
        return HERE

    return _attempted(request, do)


@require_POST
@needs(Permission.FIRMWARE_TRUST)
def remove_key(request: HttpRequest, key_id: int) -> HttpResponse:
    """Trust a key no more."""
    user: Any = request.user

    def do() -> str:
        images.remove_key(user, key_id, reason=request.POST.get("reason", ""))
        return HERE

    return _attempted(request, do)


def _attempted(request: HttpRequest, do: Any) -> HttpResponse:
    try:
        return attempt(request, do, otherwise=HERE, told=_("Done."))
    except UnknownImageError as error:
        raise Http404 from error
