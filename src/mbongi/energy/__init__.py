"""What the plant's energy does: figures, supply, dispatch."""
