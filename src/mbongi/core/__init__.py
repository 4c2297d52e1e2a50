"""What every domain stands on: identity and tenants, the ledger, the bus and the telemetry store."""
