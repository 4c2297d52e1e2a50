"""Changes of accounts, invitations, tokens and tenants; each is in the ledger within the same transaction."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from allauth.account.models import EmailAddress
from django.contrib.auth import password_validation
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, connection, transaction
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.base.ids import TenantId
from mbongi.core.identity import rules, selectors
from mbongi.core.identity.errors import AccountError, LinkError, NotPermittedError
from mbongi.core.identity.models import ApiToken, Invitation, Tenant, User
from mbongi.core.identity.secret import TOKEN_PREFIX, hash_of, new_secret
from mbongi.core.identity.values import Permission, Role
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry

FIRST_LINK_LIFE = timedelta(hours=24)
INVITATION_LIFE = timedelta(days=7)
TOKEN_LIFE_MAX = timedelta(days=366)
TOKENS_MAX = 50
"""Open tokens of one account, at most."""

_FIRST_ACCOUNT_LOCK = 0x6D626F_01
"""Advisory lock that makes two holders of first-account links take turns."""


def _record(actor: str, action: str, subject: str, **rest: object) -> None:
    ledger.append([NewEntry(actor=actor, action=action, subject=subject, **rest)])  # type: ignore[arg-type]


@transaction.atomic
def create_first_account_link() -> str | None:
    """The path ``/start/<token>`` that creates the first account; None once an account exists.

    It works once and for FIRST_LINK_LIFE; an earlier unused link stops working.
    """
    _lock_first_account()
    if selectors.has_account():
        return None
    now = utc_now()
    Invitation.objects.filter(is_first=True, accepted_at=None, withdrawn_at=None).update(withdrawn_at=now)
    token = new_secret()
    Invitation.objects.create(
        token_hash=hash_of(token), is_first=True, role=Role.SITE_MANAGER, expires_at=now + FIRST_LINK_LIFE
    )
    _record("process:account", "identity.first_link.create", "site")
    return f"/start/{token}"


def accept_first_account(token: str, email: str, name: str, password: str) -> User:
    """Create the first account, a site manager. Raises LinkError or AccountError."""
    return accept_invitation(token, name=name, password=password, email=email)


@transaction.atomic
def accept_invitation(token: str, *, name: str, password: str, email: str = "", language: str = "") -> User:
    """Create the account that a link promises; an invitation's own address wins over ``email``.

    Raises LinkError when the link is spent or expired, AccountError when address, name or password are refused.
    """
    # The lock before the look-up: of two people with one link, the second finds it spent.
    invitation = Invitation.objects.select_for_update().filter(token_hash=hash_of(token)).first()
    if invitation is None or selectors.invitation_for(token) is None:
        raise LinkError("the link is unknown, used or expired", [_("This link is unknown, used or expired.")])
    if invitation.is_first:
        _lock_first_account()
        if selectors.has_account():
            raise LinkError("the first account exists", [_("The first account exists already; ask for an invitation.")])
    role, tenant = Role(invitation.role), invitation.tenant
    user = _create_user(invitation.email or email, name, password, role, tenant, language)
    invitation.accepted_at = utc_now()
    invitation.save(update_fields=["accepted_at"])
    _record(user.actor, "identity.user.create", user.actor, after=_facts(user), tenant_id=user.tenant_id)
    return user


@transaction.atomic
def invite(
    inviter: User, *, email: str, role: Role, tenant_id: TenantId | None = None, reason: str = ""
) -> tuple[Invitation, str]:
    """Invite an address to a role: the invitation and the link's path, which is shown once.

    Raises NotPermittedError, or AccountError for an address that is refused or a role and tenant that do not fit.
    """
    if not inviter.may(Permission.ACCOUNT_MANAGE) or not rules.may_manage(Role(inviter.role), role):
        raise NotPermittedError(f"{inviter.actor}: invite a {role}: the role {inviter.role} does not permit it")
    email = _checked_email(email)
    if role == Role.TENANT and tenant_id is None:
        raise AccountError("a tenant's account needs its tenant", [_("Choose the tenant.")])
    token = new_secret()
    invitation = Invitation.objects.create(
        token_hash=hash_of(token),
        email=email,
        role=role,
        tenant_id=tenant_id,
        invited_by=inviter,
        expires_at=utc_now() + INVITATION_LIFE,
    )
    _record(
        inviter.actor,
        "identity.invitation.create",
        f"invitation:{invitation.pk}",
        reason=reason,
        after={"role": role.value},
        tenant_id=tenant_id,
    )
    return invitation, f"/start/{token}"


@transaction.atomic
def withdraw_invitation(manager: User, invitation_id: int, reason: str = "") -> None:
    """Make an open invitation's link useless. Raises NotPermittedError or LinkError."""
    _require_manager(manager)
    open_ones = Invitation.objects.filter(pk=invitation_id, accepted_at=None, withdrawn_at=None)
    if not open_ones.update(withdrawn_at=utc_now()):
        raise LinkError(f"invitation {invitation_id}: not open")
    _record(manager.actor, "identity.invitation.withdraw", f"invitation:{invitation_id}", reason=reason)


@transaction.atomic
def change_account(
    manager: User,
    user_id: int,
    *,
    role: Role | None = None,
    tenant_id: TenantId | None = None,
    active: bool | None = None,
    reason: str,
) -> User:
    """Change an account's role (with ``tenant_id`` beside it) or close and reopen it.

    Closing ends its sessions and tokens. Raises NotPermittedError, AccountError (the last site manager stays).
    """
    _require_manager(manager)
    user = User.objects.select_for_update().get(pk=user_id)
    if not all(rules.may_manage(Role(manager.role), one) for one in (Role(user.role), role or Role(user.role))):
        raise NotPermittedError(f"{manager.actor}: change {user.actor}: the role {manager.role} does not permit it")
    before = _facts(user)
    if role is not None:
        user.role, user.tenant_id = role.value, tenant_id
    if active is not None:
        user.is_active = active
    if user.role == Role.TENANT and user.tenant_id is None:
        raise AccountError("a tenant's account needs its tenant", [_("Choose the tenant.")])
    user.save(update_fields=["role", "tenant", "is_active"])
    _keep_a_site_manager()
    if not user.is_active:
        _end_access(user)
    _record(
        manager.actor,
        "identity.user.change",
        user.actor,
        reason=reason,
        before=before,
        after=_facts(user),
        tenant_id=user.tenant_id,
    )
    return user


@transaction.atomic
def issue_token(
    user: User, name: str, expires: datetime, permissions: Iterable[Permission] = (Permission.MACHINE_VIEW,)
) -> str:
    """A new API token of the user, shown this once; never permits more than the user's role.

    Raises NotPermittedError, or AccountError for a name, date or number of tokens that is refused.
    """
    if not user.may(Permission.API_TOKEN_OWN):
        raise NotPermittedError(f"{user.actor}: issue a token: the role {user.role} does not permit it")
    now, wanted = utc_now(), sorted({permission for permission in permissions if user.may(permission)})
    if not name.strip() or not now < expires <= now + TOKEN_LIFE_MAX or not wanted:
        raise AccountError(
            f"token {name!r} until {expires.isoformat()}: expected a name, a date within a year and permitted uses",
            [_("Give the token a name, an end within one year and at least one use that your role permits.")],
        )
    if selectors.tokens(user).filter(expires_at__gt=now).count() >= TOKENS_MAX:
        raise AccountError(f"{user.actor} has {TOKENS_MAX} tokens", [_("Revoke a token first: there are too many.")])
    secret = TOKEN_PREFIX + new_secret()
    token = ApiToken.objects.create(
        user=user,
        name=name.strip()[:80],
        prefix=secret[:8],
        secret_hash=hash_of(secret),
        permissions=wanted,
        expires_at=expires,
    )
    after = {"permissions": [str(one) for one in wanted], "expires_at": expires.isoformat()}
    _record(user.actor, "identity.token.issue", f"token:{token.pk}", after=after, tenant_id=user.tenant_id)
    return secret


@transaction.atomic
def revoke_token(user: User, token_id: int) -> bool:
    """End one of the user's tokens; False where there is no such open token."""
    found = ApiToken.objects.filter(pk=token_id, user=user, revoked_at=None).update(revoked_at=utc_now())
    if found:
        _record(user.actor, "identity.token.revoke", f"token:{token_id}", tenant_id=user.tenant_id)
    return bool(found)


@transaction.atomic
def add_tenant(actor: User, *, code: str, name: str) -> Tenant:
    """Add a tenant. Raises NotPermittedError, or AccountError when the code is taken or empty."""
    if not actor.may(Permission.TENANT_MANAGE):
        raise NotPermittedError(f"{actor.actor}: add a tenant: the role {actor.role} does not permit it")
    if not code or Tenant.objects.filter(code=code).exists():
        raise AccountError(f"tenant code {code!r}: empty or taken", [_("This code is empty or taken.")])
    tenant = Tenant.objects.create(code=code, name=name)
    after = {"code": code, "name": name}
    _record(actor.actor, "identity.tenant.create", f"tenant:{tenant.pk}", after=after, tenant_id=TenantId(tenant.pk))
    return tenant


def _lock_first_account() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_FIRST_ACCOUNT_LOCK])


def _require_manager(manager: User) -> None:
    if not manager.may(Permission.ACCOUNT_MANAGE):
        raise NotPermittedError(f"{manager.actor}: manage accounts: the role {manager.role} does not permit it")


def _checked_email(email: str) -> str:
    try:
        validate_email(email)
    except ValidationError as error:
        raise AccountError("not an e-mail address", list(error.messages)) from error
    if User.objects.filter(email__iexact=email).exists():
        raise AccountError("address taken", [_("An account with this address exists.")])
    return User.objects.normalize_email(email)


def _create_user(email: str, name: str, password: str, role: Role, tenant: Tenant | None, language: str) -> User:
    reasons: list[str] = [] if name.strip() else [_("Give a name.")]
    user = User(email=_checked_email(email), name=name.strip()[:120], role=role, tenant=tenant, language=language)
    try:
        password_validation.validate_password(password, user)
    except ValidationError as error:
        reasons.extend(error.messages)
    if reasons:
        raise AccountError("name or password refused", reasons)
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError as error:
        raise AccountError("address taken", [_("An account with this address exists.")]) from error
    # Whoever holds the link was given it for this address; the site must work without outside mail.
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    return user


def _keep_a_site_manager() -> None:
    if not User.objects.filter(role=Role.SITE_MANAGER, is_active=True).exists():
        raise AccountError("the last site manager", [_("The site needs at least one site manager.")])


def _end_access(user: User) -> None:
    ApiToken.objects.filter(user=user, revoked_at=None).update(revoked_at=utc_now())
    # Sessions of an inactive account are refused anyway; deleting them leaves nothing to reopen.
    keys: Sequence[str] = [
        session.session_key
        for session in Session.objects.filter(expire_date__gt=utc_now()).iterator()
        if session.get_decoded().get("_auth_user_id") == str(user.pk)
    ]
    Session.objects.filter(session_key__in=keys).delete()


def _facts(user: User) -> dict[str, object]:
    return {"role": str(user.role), "tenant": user.tenant_id, "active": user.is_active}
