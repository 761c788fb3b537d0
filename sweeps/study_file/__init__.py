"""What the user asks for: the study file as a strict model."""
