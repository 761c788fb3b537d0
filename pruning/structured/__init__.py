"""Removing channels: which layers share them, how many to keep, and the smaller network."""
