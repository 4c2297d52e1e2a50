"""What can be asked of identity."""

from datetime import timedelta

from django.db.models import QuerySet

from mbongi.base.clock import utc_now
from mbongi.core.identity import rules
from mbongi.core.identity.models import ApiToken, Invitation, Tenant, User
from mbongi.core.identity.secret import hash_of
from mbongi.core.identity.values import Permission, Role

LAST_USE_GRAIN = timedelta(minutes=1)
"""A token's last use is written at most this often, so that reading stays cheap."""


def has_account() -> bool:
    """Whether anybody can sign in yet."""
    return User.objects.exists()


def users() -> QuerySet[User]:
    """Every account, closed ones included."""
    return User.objects.select_related("tenant")


def others_who_may(permission: Permission, user: User) -> int:
    """How many other people's accounts, open ones, have a permission."""
    roles = [role for role in Role if rules.may(role, permission)]
    return User.objects.filter(is_active=True, role__in=roles).exclude(pk=user.pk).count()


def tenants() -> QuerySet[Tenant]:
    """Every tenant."""
    return Tenant.objects.all()


def tokens(user: User) -> QuerySet[ApiToken]:
    """The user's tokens that are not revoked, newest first."""
    return ApiToken.objects.filter(user=user, revoked_at=None)


def open_invitations() -> QuerySet[Invitation]:
    """Invitations that can still be accepted."""
    return Invitation.objects.filter(accepted_at=None, withdrawn_at=None, expires_at__gt=utc_now())


def invitation_for(token: str) -> Invitation | None:
    """The open invitation of a link's token; None when unknown, spent, withdrawn or expired."""
    return open_invitations().filter(token_hash=hash_of(token)).first()


def user_for_token(secret: str) -> User | None:
    """The active owner of a valid API token, limited to the token's permissions; None otherwise."""
    now = utc_now()
    token = (
        ApiToken.objects.select_related("user", "user__tenant")
        .filter(secret_hash=hash_of(secret), revoked_at=None, expires_at__gt=now, user__is_active=True)
        .first()
    )
    if token is None:
        return None
    if token.last_used_at is None or now - token.last_used_at > LAST_USE_GRAIN:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    token.user.token_permissions = token.permitted()
    return token.user
