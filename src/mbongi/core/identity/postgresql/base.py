"""Every statement runs as the role ``mbongi_app`` and in the scope of the work that issues it."""

import functools
from collections.abc import Callable
from typing import Any, ClassVar

import psycopg
from django.db import DatabaseError as WrappedDatabaseError
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base

from mbongi.core.identity.errors import SchemaMissingError, UnsafeRoleError
from mbongi.core.identity.scope import current_scope, is_owner

APP_ROLE = "mbongi_app"

_Session = tuple[str, str, str]
"""Role, tenant and site-wide switch, as PostgreSQL is told."""


def _wanted() -> _Session:
    scope = current_scope()
    tenant = "" if scope.tenant_id is None else str(scope.tenant_id)
    return ("none" if is_owner() else APP_ROLE, tenant, "on" if scope.site_wide else "off")


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that never issues a statement in another scope than the present one."""

    answer_s_max: ClassVar[float | None] = None
    """How long this process waits for a connection, and for the answer to a statement [s, >= 2]; None: as long as it
    takes. Afterwards the connection is given up with an OperationalError: a database that hangs is as good as away."""

    def __init__(self, settings_dict: dict[str, Any], alias: str = "default") -> None:
        super().__init__(settings_dict, alias)
        self._told: _Session | None = None
        self._told_in_transaction = False
        self._role_is_checked = False
        self._in_control = False
        self.commits_in_doubt = 0
        """How often a connection died during a commit, so that nobody knows whether it happened."""
        # Django makes and drops test databases through this alias, in the server's own database.
        if alias != NO_DB_ALIAS:
            self.execute_wrappers.append(self._within_scope)

    def ensure_scope(self) -> None:
        """Tell PostgreSQL the present scope; for statements that go round Django's cursor, such as COPY."""
        self.ensure_connection()
        wanted = _wanted()
        if wanted != self._told:
            self._tell(wanted)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """A connection of psycopg that keeps to ``answer_s_max``."""
        limit_s = self.answer_s_max
        if limit_s is None:
            return super().get_new_connection(conn_params)
        made = super().get_new_connection({**conn_params, "connect_timeout": int(limit_s)})
        made.wait = functools.partial(_wait, made, limit_s)
        return made

    def init_connection_state(self) -> None:
        """Forget what the former connection was told."""
        self._told, self._role_is_checked = None, False
        super().init_connection_state()

    def _within_scope(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        wanted = _wanted()
        if wanted != self._told and not self._in_control:
            self._tell(wanted)
        return execute(sql, params, many, context)

    def _tell(self, wanted: _Session) -> None:
        assert self.connection is not None
        with self.wrap_database_errors, self.connection.cursor() as cursor:
            self._told = None
            try:
                cursor.execute(
                    "SELECT set_config('role', %s, false), set_config('mbongi.tenant', %s, false),"
                    " set_config('mbongi.site_wide', %s, false)",
                    wanted,
                )
            except (psycopg.errors.InvalidParameterValue, psycopg.errors.InsufficientPrivilege) as error:
                raise SchemaMissingError(
                    f"database {self.settings_dict['NAME']}: cannot act as role {APP_ROLE}:"
                    f" {error.diag.message_primary}; run ./mbongi migrate once as the owner of the database"
                ) from error
            if wanted[0] == APP_ROLE and not self._role_is_checked:
                self._check_role(cursor)
        self._told, self._told_in_transaction = wanted, self.in_atomic_block

    def _check_role(self, cursor: Any) -> None:
        row = cursor.execute(
            "SELECT current_user, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        name, bypasses = row
        if bypasses:
            raise UnsafeRoleError(
                f"database {self.settings_dict['NAME']}: role {name} bypasses row-level security, so tenants would"
                f" not be separated; run: ALTER ROLE {name} NOSUPERUSER NOBYPASSRLS"
            )
        self._role_is_checked = True

    # PostgreSQL takes settings made inside a transaction back when it rolls back, so they must be told again.
    def _forget_if_told_in_transaction(self) -> None:
        if self._told_in_transaction:
            self._told = None

    def _rollback(self) -> None:
        super()._rollback()  # type: ignore[misc]
        self._forget_if_told_in_transaction()

    def _commit(self) -> None:
        # A commit of a failed transaction is a rollback, and psycopg does not say so.
        try:
            super()._commit()  # type: ignore[misc]
        except WrappedDatabaseError:
            self.commits_in_doubt += 1
            raise
        self._forget_if_told_in_transaction()

    def _savepoint_rollback(self, sid: str) -> None:
        # After a failed statement PostgreSQL takes nothing but this one, so the scope must wait.
        self._in_control = True
        try:
            super()._savepoint_rollback(sid)  # type: ignore[misc]
        finally:
            self._in_control = False
        self._forget_if_told_in_transaction()


def _wait(made: psycopg.Connection[Any], limit_s: float, answers: Any, **words: Any) -> Any:
    """Wait for what the server answers, but no longer than ``limit_s``."""
    try:
        return psycopg.Connection.wait(made, answers, **({"timeout": limit_s} | words))
    except psycopg.OperationalError as error:
        if made.closed or made.pgconn.transaction_status != psycopg.pq.TransactionStatus.ACTIVE:
            raise
        made.pgconn.finish()  # its answer may still come, and would be taken for that to another statement
        raise psycopg.OperationalError(
            f"database: no answer within {limit_s:g} s; the connection is given up"
        ) from error
