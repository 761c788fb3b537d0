"""Parquet in, paper out. Imports neither torch nor Ray."""
