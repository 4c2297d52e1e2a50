"""Rules of identity. Pure."""

import csv
from functools import cache
from pathlib import Path

from mbongi.core.identity.values import Permission, Role

ROLES_CSV = Path(__file__).with_name("roles.csv")


@cache
def permissions_of(role: Role) -> frozenset[Permission]:
    """Everything that ``roles.csv`` permits to the role."""
    with ROLES_CSV.open(encoding="utf-8", newline="") as file:
        return frozenset(Permission(row["permission"]) for row in csv.DictReader(file) if row[role.value] == "yes")


def may(role: Role, permission: Permission) -> bool:
    """Whether the role permits it."""
    return permission in permissions_of(role)


def may_manage(manager: Role, role: Role) -> bool:
    """Whether somebody of role ``manager`` may give or take ``role``.

    Only a site manager makes or unmakes site managers: a security officer must not promote himself.
    """
    return may(manager, Permission.ACCOUNT_MANAGE) and (role != Role.SITE_MANAGER or manager == Role.SITE_MANAGER)
