"""Tables of the plant."""
