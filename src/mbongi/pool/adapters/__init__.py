"""The engines that the pool stands on: Bitcoin nodes."""
