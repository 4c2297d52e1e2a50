"""Pure rules of the plant."""
