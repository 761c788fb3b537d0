"""A study directory as data frames."""
