"""The study directory: where everything lies in it, files written whole and retried, and what its
tables and checkpoints hold."""
