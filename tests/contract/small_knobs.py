"""Knobs with which methods are quick on small networks, by the name of the method."""

from typing import Any

SMALL_KNOBS: dict[str, dict[str, Any]] = {
    "han_iterative": {"iterations": 2},
    "hrank": {"layer_epochs": 1, "images": 40},
    "lottery_ticket": {"levels": 2},
    "random_ticket": {"levels": 2},
    "reinitialised_ticket": {"levels": 2},
    "obc": {"max_columns": 40, "images": 40},
    "sparsegpt": {"images": 40},
    "wanda": {"images": 40},
    "magnitude_post": {"images": 40},
    "synflow": {"iterations": 5},
    "snip": {"examples_per_class": 2},
    "grasp": {"examples_per_class": 2},
    "taylor_filter": {"examples": 40},
}
