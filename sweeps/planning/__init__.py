"""Which trials a study needs, and which of them are done."""
