"""A trial's network as files for others, and back again."""

from trainables.export.command import export, load_pruned

__all__ = ["export", "load_pruned"]
