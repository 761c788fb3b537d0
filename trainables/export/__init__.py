"""A trial's network as files for others, and back again."""

from trainables.export.export_network import export, load_masks, load_pruned

__all__ = ["export", "load_masks", "load_pruned"]
