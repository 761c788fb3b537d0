"""Trained weights from which trials start: where they come from, how they are matched with a
network, and how they travel in the study directory."""
