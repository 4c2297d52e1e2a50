"""An account for the site's own tools, that exists only while one runs."""

from collections.abc import Iterator
from contextlib import contextmanager

from allauth.account.models import EmailAddress
from django.db import transaction

from mbongi.core.identity import selectors
from mbongi.core.identity.errors import AccountError
from mbongi.core.identity.models import User
from mbongi.core.identity.values import Role
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry


@contextmanager
def temporary_account(
    email: str, password: str, *, role: Role = Role.SITE_MANAGER, language: str = "", actor: str = "process:screenshots"
) -> Iterator[User]:
    """An account of ``role`` that is removed at the end; both are in the ledger.

    Raises AccountError while nobody has an account: it would take the first one's place, and lock everybody out.
    """
    with transaction.atomic():
        if not selectors.has_account():
            raise AccountError("nobody has an account yet; open the link that ./mbongi account prints, then try again")
        user = User(email=email, name="Mbongi", role=role, language=language)
        user.set_password(password)
        user.save()
        EmailAddress.objects.create(user=user, email=email, primary=True, verified=True)
        ledger.append([NewEntry(actor, "identity.user.create", user.actor, "temporary", None, {"role": role.value})])
    subject = user.actor
    try:
        yield user
    finally:
        with transaction.atomic():
            user.delete()
            ledger.append([NewEntry(actor, "identity.user.remove", subject, "temporary")])
