"""Many trials: a study file becomes a plan, the plan minus what is done goes to Ray Tune."""
