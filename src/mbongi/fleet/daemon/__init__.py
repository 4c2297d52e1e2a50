"""The fleet process: scans, polls, publishes what it reads, records what changed, and performs actions."""
