"""Hours and money: what a study will take and has taken."""
