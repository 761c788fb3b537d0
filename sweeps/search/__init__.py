"""Searches: which knobs of a method, or fields of a recipe, are best."""
