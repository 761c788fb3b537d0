"""Pruning layer by layer after training: a layer's inputs, and the solvers for its weights."""
