"""From rows to estimates: means, intervals, tests, curves over sparsity, fronts, ranks."""
