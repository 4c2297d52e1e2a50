"""What is known right now: the newest reading of every machine in memory, and its stream to browsers."""
