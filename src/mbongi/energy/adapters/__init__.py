"""Engines that energy uses, one per module."""
