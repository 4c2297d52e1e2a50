"""The plant: its inventory, power path, live state, alarms and procedures."""
