"""Values of identity: who may be somebody here, and what they may do. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from mbongi.base.ids import TenantId


class Role(StrEnum):
    """What somebody is at the site. One role each; ``roles.csv`` says what it permits."""

    TECHNICIAN = "technician"
    SHIFT_LEAD = "shift_lead"
    SITE_MANAGER = "site_manager"
    SECURITY_OFFICER = "security_officer"
    AUDITOR = "auditor"
    TRAINEE = "trainee"
    TENANT = "tenant"
    RESEARCHER = "researcher"


class Permission(StrEnum):
    """One thing that somebody may do."""

    MACHINE_VIEW = "machine_view"
    MACHINE_CONTROL = "machine_control"
    MACHINE_MANAGE = "machine_manage"
    PROFILE_EDIT = "profile_edit"
    PROFILE_APPROVE = "profile_approve"
    OPERATION_RUN = "operation_run"
    HEALING_VIEW = "healing_view"
    HEALING_EDIT = "healing_edit"
    MACHINE_PLACE = "machine_place"
    CREDENTIAL_MANAGE = "credential_manage"
    FIRMWARE_VIEW = "firmware_view"
    FIRMWARE_MANAGE = "firmware_manage"
    FIRMWARE_TRUST = "firmware_trust"
    CURTAIL_VIEW = "curtail_view"
    TRIGGER_APPROVE = "trigger_approve"
    WORK_VIEW = "work_view"
    WORK_DO = "work_do"
    STOCK_MANAGE = "stock_manage"
    HOSTING_VIEW = "hosting_view"
    HOSTING_EDIT = "hosting_edit"
    HOSTING_APPROVE = "hosting_approve"
    STATEMENT_CLOSE = "statement_close"
    EVENT_ACKNOWLEDGE = "event_acknowledge"
    LEDGER_VIEW = "ledger_view"
    METRICS_VIEW = "metrics_view"
    API_TOKEN_OWN = "api_token_own"  # noqa: S105 -- a permission's name
    ACCOUNT_VIEW = "account_view"
    ACCOUNT_MANAGE = "account_manage"
    TENANT_MANAGE = "tenant_manage"
    POOL_VIEW = "pool_view"
    PAYOUT_PROPOSE = "payout_propose"
    PAYOUT_APPROVE = "payout_approve"
    FACILITY_VIEW = "facility_view"
    FACILITY_EDIT = "facility_edit"
    ALARM_ANSWER = "alarm_answer"
    ALARM_EDIT = "alarm_edit"
    PROCEDURE_RUN = "procedure_run"
    PROCEDURE_EDIT = "procedure_edit"
    PROCEDURE_APPROVE = "procedure_approve"
    ENERGY_VIEW = "energy_view"
    ENERGY_EDIT = "energy_edit"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which rows the present work may see and write.

    ``site_wide`` sees every tenant's rows and the site's own; else only rows of ``tenant_id``; neither: nothing.
    """

    tenant_id: TenantId | None
    site_wide: bool


SITE = Scope(tenant_id=None, site_wide=True)
"""The site's own processes and staff: every row."""

NOBODY = Scope(tenant_id=None, site_wide=False)
"""Where everything starts: no row at all."""
