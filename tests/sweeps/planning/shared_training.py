"""A study whose trials share dense trainings, and measure several sparsities in one trial."""

from typing import Any

RAW: dict[str, Any] = {
    "name": "small",
    "dataset": "digits",
    "model": "mlp",
    "recipe": {"epochs": 10},
    "retrain": {"epochs": 4},
    "methods": ["random", "magnitude", {"lottery_ticket": {"levels": 3, "rewind_to": [0, 2]}}],
    "sparsities": [0.5, 0.9],
    "seeds": [0, 1],
}
