"""One file per table; each makes a `Table`, without lines where the study has nothing to say in it."""
