"""One file per table; each makes a `Table`, without rows where the study has nothing to say."""
