"""Wide typed tables of measurements: the gateway that owns the embedded engine, the ingester, and the client."""
