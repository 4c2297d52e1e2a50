"""Who may do what: people, roles, tenants, API tokens, and the database scope that keeps tenants apart."""
