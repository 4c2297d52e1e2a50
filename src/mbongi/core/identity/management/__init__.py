"""Django management commands of identity."""
