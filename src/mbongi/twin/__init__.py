"""The virtual site: machines with a thermal and power state that speak the real device protocols, and can fail."""
