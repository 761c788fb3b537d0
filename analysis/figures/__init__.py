"""One file per figure; each draws `Picture`s, none where the study has nothing to show in it."""
