"""What a form of the fleet asks for: done, or told why not, and back to the page that shows it."""

from collections.abc import Callable

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from mbongi.fleet.errors import (
    ActionRefusedError,
    NotPermittedError,
    UnknownGroupError,
    UnknownMachineError,
    UnknownMoveError,
    UnknownOperationError,
    UnknownProfileError,
    UnknownRuleError,
    UnknownTriggerError,
)

_UNKNOWN = (
    UnknownGroupError,
    UnknownMachineError,
    UnknownMoveError,
    UnknownOperationError,
    UnknownProfileError,
    UnknownTriggerError,
    UnknownRuleError,
)


def attempt(request: HttpRequest, act: Callable[[], str], *, otherwise: str, told: str = "") -> HttpResponse:
    """Do it and go where ``act`` says, with ``told`` said there; refused, go to ``otherwise`` with the reason."""
    try:
        place = act()
    except ActionRefusedError as error:
        messages.error(request, error.text)
        return redirect(otherwise)
    except NotPermittedError as error:
        raise PermissionDenied from error
    except _UNKNOWN as error:
        raise Http404 from error
    if told:
        messages.success(request, told)
    return redirect(place)
