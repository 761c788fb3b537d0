"""A plan on a Ray cluster: which trial next, what became of it, and when to stop."""
