"""Mbongi runs a blockchain and AI data centre, from its first pilot machines to the full site."""
