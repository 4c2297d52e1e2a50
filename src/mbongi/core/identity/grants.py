"""The rights of the role ``mbongi_app``, renewed after every migration so that new tables are covered."""

import psycopg
from django.db import connections, transaction

from mbongi.core.identity.errors import SchemaMissingError
from mbongi.core.identity.postgresql.base import APP_ROLE


def grant_application_rights(using: str) -> None:
    """Let the application read and write rows, within the row-level policies; the schema stays the owner's.

    Raises SchemaMissingError with the statements to run when the owner may not create roles.
    """
    connection = connections[using]
    with transaction.atomic(using=using), connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [APP_ROLE])
        if cursor.fetchone() is None:
            _create_role(using)
        cursor.execute(f"GRANT USAGE ON SCHEMA public TO {APP_ROLE}")
        cursor.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {APP_ROLE}")
        cursor.execute(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {APP_ROLE}")


def _create_role(using: str) -> None:
    connection = connections[using]
    statements = (f"CREATE ROLE {APP_ROLE} NOLOGIN", f"GRANT {APP_ROLE} TO CURRENT_USER")
    try:
        with transaction.atomic(using=using), connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    except Exception as error:
        if not isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege):
            raise
        user = connection.settings_dict["USER"]
        raise SchemaMissingError(
            f"database {connection.settings_dict['NAME']}: user {user} may not create role {APP_ROLE}; as a"
            f" superuser run: CREATE ROLE {APP_ROLE} NOLOGIN; GRANT {APP_ROLE} TO {user}; then migrate again"
        ) from error
