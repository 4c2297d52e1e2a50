"""The names of tenants, for pages that show whose something is."""

from django.utils.translation import gettext as _

from mbongi.core.identity.selectors import tenants


def tenant_names() -> dict[int, str]:
    """Tenants by number, as far as the reader may see them; 0 is the site itself."""
    return {0: _("the site itself")} | {tenant.pk: tenant.name for tenant in tenants()}
