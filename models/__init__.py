"""Networks by name, one family per file."""
