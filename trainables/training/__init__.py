"""One training: recipe, epochs, evaluation, random numbers, and how the process computes."""
