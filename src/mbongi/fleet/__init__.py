"""The mining machines: finding them by scan, polling them in tiers, what they are and do, and writes to them."""
