"""The energy process: plans every five minutes, watches for black-outs every second."""
