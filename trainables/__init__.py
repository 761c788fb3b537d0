"""One trial from start to finish: specification, data, training, checkpoints, measurement, rows."""
