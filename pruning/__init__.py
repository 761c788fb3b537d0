"""Pruning methods: a model and batches in, masks or a smaller model out. Knows nothing of studies,
files or Ray."""
