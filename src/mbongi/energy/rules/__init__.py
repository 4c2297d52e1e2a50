"""Pure rules of energy."""
