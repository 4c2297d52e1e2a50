"""The control room's pages and two that say whom they serve, for the tests of identity."""

from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.urls import path

from mbongi.core.identity.scope import current_scope
from mbongi.core.ledger import selectors
from mbongi.web import urls as control_room


def seen(request: HttpRequest) -> JsonResponse:
    scope = current_scope()
    return JsonResponse(
        {"tenant": scope.tenant_id, "site": scope.site_wide, "tenants": [one.tenant_id for one in selectors.entries()]}
    )


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(str(len(selectors.entries())) + ";" for _ in range(3))


urlpatterns = [*control_room.urlpatterns, path("seen/", seen), path("stream/", stream)]
