"""Django application of the pool."""

from django.apps import AppConfig


class PoolConfig(AppConfig):
    """Accounts, workers, their work, blocks, and the entries of the balances."""

    name = "mbongi.pool"
    label = "pool"
