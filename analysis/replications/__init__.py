"""Published results beside ours: claims with tolerances named in advance, and the page of each."""
