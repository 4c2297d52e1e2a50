"""Views of the list of machines that people keep under a name, for themselves or for their team."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.fleet.errors import ActionRefusedError
from mbongi.fleet.models import SavedView

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

NAME_MAX = 60
QUERY_MAX = 1000
VIEWS_MAX = 50
"""Views of one person, at most."""


@dataclass(frozen=True, slots=True)
class ViewRow:
    """A kept view, for one reader: ``is_own`` says whether it is theirs to change; ``owner`` is whose it is."""

    id: int
    name: str
    query: str
    shared: bool
    owner: str
    is_own: bool


def views(user: "User") -> list[ViewRow]:
    """A person's own views, and those that others of the same tenant share, by name."""
    mine = Q(owner=user) | Q(shared=True, tenant=user.tenant_id)
    rows = SavedView.objects.filter(mine).select_related("owner").order_by("name", "pk")
    return [ViewRow(row.pk, row.name, row.query, row.shared, str(row.owner), row.owner_id == user.pk) for row in rows]


@transaction.atomic
def save_view(user: "User", name: str, query: str, *, shared: bool) -> ViewRow:
    """Keep a view; one of the same name that is the person's own is replaced. Raises ActionRefusedError."""
    name = name.strip()
    if not 1 <= len(name) <= NAME_MAX or not name.isprintable():
        text = _("A view's name has 1 to %(limit)d letters.") % {"limit": NAME_MAX}
        raise ActionRefusedError(f"save a view: name of {len(name)} characters; expected 1 to {NAME_MAX}", text)
    if len(query) > QUERY_MAX:
        raise ActionRefusedError(
            f"save a view: query of {len(query)} characters; at most {QUERY_MAX}", _("This filter is too long to keep.")
        )
    own = SavedView.objects.filter(owner=user)
    if own.exclude(name=name).count() >= VIEWS_MAX:
        text = _("You keep %(limit)d views already; remove one first.") % {"limit": VIEWS_MAX}
        raise ActionRefusedError(f"save a view: {VIEWS_MAX} are kept", text)
    row, _made = SavedView.objects.update_or_create(
        owner=user,
        name=name,
        defaults={"query": query, "shared": shared, "tenant_id": user.tenant_id},
        create_defaults={"query": query, "shared": shared, "tenant_id": user.tenant_id, "added_at": utc_now()},
    )
    return ViewRow(row.pk, row.name, row.query, row.shared, str(user), is_own=True)


@transaction.atomic
def remove_view(user: "User", view_id: int) -> None:
    """Remove one of the person's own views; one that is not there, or not theirs, is left alone."""
    SavedView.objects.filter(pk=view_id, owner=user).delete()
