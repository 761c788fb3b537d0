"""Imports point down only: the floors of the house, read from the code."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS: dict[
    str, set[str]
] = {  # what each package may import, besides itself and the standard library
    "models": {"torch", "torchvision", "timm"},
    "pruning": {"torch", "pydantic"},
    "trainables": {
        "models",
        "pruning",
        "torch",
        "pydantic",
        "pyarrow",
        "numpy",
        "PIL",
        "torchvision",
        "sklearn",
    },
    "sweeps": {
        "trainables",
        "pruning",
        "models",
        "ray",
        "pydantic",
        "pydantic_core",
        "yaml",
        "torch",
        "numpy",
        "optuna",
    },
    "analysis": {
        "pandas",
        "numpy",
        "scipy",
        "matplotlib",
        "fontTools",
        "pyarrow",
        "yaml",
        "jinja2",
        "sklearn",
        "trainables",
    },
}
ALONE = {
    "trainables/ray_trainable.py": {"ray"},  # the one adapter
    "trainables/export/choice.py": {"yaml"},
    "trainables/export/pruned.py": {"safetensors", "onnx", "onnxruntime"},
    "sweeps/live_view/terminal_view.py": {"rich"},
    "sweeps/live_view/mean_accuracy.py": {"rich"},
    "sweeps/cli/completion.py": {"shtab"},
    "sweeps/loggers/mlflow_logger.py": {"mlflow"},
    "sweeps/loggers/wandb_logger.py": {"wandb"},
}
SCHEMA = {
    "trainables.storage.parquet_tables",
    "trainables.storage.store",
    "trainables.version",
    "trainables.command_line",
}  # all that the analysis may know of trials
LIGHT = {
    f"trainables/{name}.py"
    for name in ("record", "seal", "store", "disk", "bucket", "outage", "line")
}


def imports(path: Path) -> set[str]:
    """Dotted names of all modules a file imports, at its top or inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", FLOORS)
def test_imports_point_down(package: str) -> None:
    import sys

    for path in files(package):
        place = path.relative_to(ROOT).as_posix()
        allowed = (
            FLOORS[package] | {package} | ALONE.get(place, set()) | set(sys.stdlib_module_names)
        )
        tops = {name.split(".")[0] for name in imports(path)}
        assert tops <= allowed, f"{place} imports {sorted(tops - allowed)}"


def test_the_analysis_knows_of_trials_only_their_rows() -> None:
    for path in files("analysis"):
        for name in imports(path):
            if name.startswith("trainables"):
                assert any(name == light or name.startswith(light + ".") for light in SCHEMA), (
                    f"{path}: {name}"
                )
    for place in LIGHT:
        tops = {name.split(".")[0] for name in imports(ROOT / place)}
        assert not tops & {"torch", "ray"}, place


@pytest.mark.parametrize("package", FLOORS)
def test_files_are_short(package: str) -> None:
    for path in files(package):
        lines = len(path.read_text().splitlines())
        assert lines <= 300, (
            f"{path.relative_to(ROOT)} has {lines} lines: is there a second noun inside?"
        )
