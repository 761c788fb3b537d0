"""One file per figure; each draws a `Picture`, or None where the study has nothing to show in it."""
