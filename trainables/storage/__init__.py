"""The study directory: files written whole, tried again, checked, and what its tables and
checkpoints hold."""
