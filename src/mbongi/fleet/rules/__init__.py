"""The fleet's rules: what machines' figures say, what is an alarm, how much may change at once. Pure."""
