"""Stopwatches: latency of networks, seconds of an epoch, trials side by side."""
