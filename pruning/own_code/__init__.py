"""The methods in a script or notebook of the user's: `pruning.prune` and what it returns."""
