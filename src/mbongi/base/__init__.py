"""What every layer may use: configuration, units, typed ids, the clock, the log and the root of the error tree.

Pure Python; knows nothing of Django, sockets or any domain.
"""
