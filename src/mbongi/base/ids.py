"""One id type per kind of thing, so that a machine's id cannot be passed where a tenant's is meant."""

from typing import NewType

MachineId = NewType("MachineId", int)
TenantId = NewType("TenantId", int)
UserId = NewType("UserId", int)
ActionId = NewType("ActionId", int)

SITE_TENANT = TenantId(0)
"""Stands for the site itself where a column must name an owner."""
