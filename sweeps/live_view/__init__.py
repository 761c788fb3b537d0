"""Following a run on a terminal, and the report kept current: `--watch`."""
