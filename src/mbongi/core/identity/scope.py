"""The scope of the present work, which the database enforces row by row.

A context variable says whose rows may be seen; before every statement the database connection compares it with what
it told PostgreSQL last (``postgresql/base.py``). So a scope holds for exactly the code inside ``acting``, in every
thread and task that inherits the context, and nothing of it stays on a connection that others use later.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from mbongi.base.ids import TenantId
from mbongi.core.identity.values import NOBODY, SITE, Role, Scope

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from mbongi.core.identity.models import User

__all__ = ["NOBODY", "SITE", "Scope", "acting", "as_owner", "current_scope", "is_owner", "scope_of"]

_scope: ContextVar[Scope] = ContextVar("mbongi_scope", default=NOBODY)
_owner: ContextVar[bool] = ContextVar("mbongi_owner", default=False)


def current_scope() -> Scope:
    """The scope of the present work; NOBODY unless somebody acts."""
    return _scope.get()


def is_owner() -> bool:
    """Whether statements run as the owner of the tables, which only migrations need."""
    return _owner.get()


def scope_of(user: "User | AnonymousUser") -> Scope:
    """What a user may see: a tenant's people their tenant, the site's staff everything, anybody else nothing."""
    if not user.is_authenticated or not user.is_active:
        return NOBODY
    if user.tenant_id is not None:
        return Scope(tenant_id=TenantId(user.tenant_id), site_wide=False)
    return NOBODY if user.role == Role.TENANT else SITE


@contextmanager
def acting(scope: Scope) -> Iterator[None]:
    """Do the work inside with the rows of ``scope``; afterwards the former scope holds again."""
    token = _scope.set(scope)
    try:
        yield
    finally:
        _scope.reset(token)


@contextmanager
def as_owner() -> Iterator[None]:
    """Run statements as the owner of the tables, for changes of the schema."""
    token = _owner.set(True)
    try:
        yield
    finally:
        _owner.reset(token)
