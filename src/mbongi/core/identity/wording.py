"""The words of identity, in the reader's language."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mbongi.core.identity.values import Role

_ROLES: dict[Role, Promise] = {
    Role.TECHNICIAN: _("Technician"),
    Role.SHIFT_LEAD: _("Shift lead"),
    Role.SITE_MANAGER: _("Site manager"),
    Role.SECURITY_OFFICER: _("Security officer"),
    Role.AUDITOR: _("Auditor"),
    Role.TRAINEE: _("Trainee"),
    Role.TENANT: _("Tenant"),
    Role.RESEARCHER: _("Researcher"),
}


def role_label(role: Role | str) -> Promise:
    """The role's name in the reader's language. Raises ValueError for a word that is no role."""
    return _ROLES[Role(role)]
