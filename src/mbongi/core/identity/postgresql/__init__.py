"""Django's PostgreSQL back end, bound to the row-level security of ``core.identity.scope``."""
