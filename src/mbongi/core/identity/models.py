"""Tables of identity. Private: other domains use services, selectors and values."""

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models.functions import Lower

from mbongi.core.identity import rules
from mbongi.core.identity.values import Permission, Role
from mbongi.core.identity.wording import role_label

ROLE_CHOICES = [(role.value, role_label(role)) for role in Role]


class Tenant(models.Model):
    """A customer or project whose machines stand at the site; row-level security separates tenants."""

    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=120)
    added_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["code"]

    def __str__(self) -> str:
        return self.name


class UserManager(BaseUserManager["User"]):
    """Finds people by e-mail, in any letter case."""

    def get_by_natural_key(self, username: str | None) -> "User":
        """The account of an e-mail address."""
        return self.get(email__iexact=username)


class User(AbstractBaseUser):
    """Somebody who signs in, by e-mail. A closed account is inactive, never deleted: the ledger names it."""

    email = models.EmailField(max_length=254)
    name = models.CharField(max_length=120)
    role = models.CharField(max_length=24, choices=ROLE_CHOICES)
    tenant = models.ForeignKey(Tenant, null=True, blank=True, on_delete=models.PROTECT, related_name="users")
    language = models.CharField(max_length=8, blank=True, default="")
    is_active = models.BooleanField(default=True)
    added_at = models.DateTimeField(auto_now_add=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar = ["name"]
    objects: ClassVar[UserManager] = UserManager()

    token_permissions: frozenset[Permission] | None = None
    """What the API token of this request permits; None where somebody signed in themselves."""

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(Lower("email"), name="identity_user_email_any_case"),
            models.CheckConstraint(
                condition=~models.Q(role=Role.TENANT) | models.Q(tenant__isnull=False),
                name="identity_user_tenant_role_has_tenant",
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.email

    def get_full_name(self) -> str:
        """The name to show."""
        return self.name

    def may(self, permission: Permission) -> bool:
        """Whether the account's role permits it, and the API token where one is used."""
        within_token = self.token_permissions is None or permission in self.token_permissions
        return self.is_active and within_token and rules.may(Role(self.role), permission)

    @property
    def actor(self) -> str:
        """How the ledger names this account."""
        return f"user:{self.pk}"


class Invitation(models.Model):
    """A one-time link to create an account. Only the token's hash is stored."""

    token_hash = models.BinaryField(max_length=32, unique=True)
    is_first = models.BooleanField(default=False)
    email = models.EmailField(max_length=254, blank=True)
    role = models.CharField(max_length=24, choices=ROLE_CHOICES)
    tenant = models.ForeignKey(Tenant, null=True, blank=True, on_delete=models.CASCADE)
    invited_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="invitations")
    added_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-added_at"]

    def __str__(self) -> str:
        return f"{self.email} ({self.role})"


class ApiToken(models.Model):
    """A key for programs. Only its hash is stored; it never permits more than its owner's role."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12)
    secret_hash = models.BinaryField(max_length=32, unique=True)
    permissions = models.JSONField(default=list)
    added_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-added_at"]

    def __str__(self) -> str:
        return self.name

    def permitted(self) -> frozenset[Permission]:
        """The permissions that the token carries; names that this release does not know permit nothing."""
        known: dict[str, Any] = {permission.value: permission for permission in Permission}
        return frozenset(known[name] for name in self.permissions if name in known)
