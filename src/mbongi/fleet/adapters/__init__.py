"""One device family per module, and the sessions that they speak through."""
