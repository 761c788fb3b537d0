"""Channels removed: which of them hang together, and the smaller network."""
