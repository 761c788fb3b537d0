"""Pruning layer by layer after training: the inputs of a layer, and what replaces its weights."""
