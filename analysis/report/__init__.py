"""The page that shows a study, and the files beside it."""
