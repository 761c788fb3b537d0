"""The networks of the table in docs/own-models.md, each with the side of its images."""

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location(
    "networks_benchmark", Path(__file__).parents[3] / "benchmarks/networks.py"
)
assert _spec and _spec.loader
benchmark = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(benchmark)
SIZES: dict[str, int] = benchmark.NETWORKS
