"""Environments in which a package, or Python itself, is missing or broken."""

import builtins
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pruning.user_error import UserError
from tests.broken_directories import study_without_rows
from tests.raising import raising

Patch = pytest.MonkeyPatch


def forbid(patch: Patch, package: str, error: BaseException | None = None) -> None:
    """Let every import of a package fail as if it were not installed, or with the given error."""
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        patch.delitem(sys.modules, name)
    known, found = builtins.__import__, importlib.util.find_spec
    missing = error or ModuleNotFoundError(f"No module named '{package}'", name=package)

    def load(name: str, *rest: Any, **named: Any) -> Any:
        if name.partition(".")[0] == package:
            raise missing
        return known(name, *rest, **named)

    patch.setattr(builtins, "__import__", load)
    patch.setattr(
        "importlib.util.find_spec",
        lambda name, *rest: None if name == package else found(name, *rest),
    )
    patch.setitem(sys.modules, package, None)


def no_timm(here: Path, patch: Patch) -> None:
    patch.setitem(sys.modules, "timm", None)
    patch.setattr(
        "models.zoo.import_module",
        raising(ModuleNotFoundError("No module named 'timm'", name="timm")),
    )


def no_such_network(here: Path, patch: Patch) -> None:
    zoo = ModuleType("zoo")
    zoo.list_models = lambda module: ["resnet18", "resnet50"]  # type: ignore[attr-defined]
    patch.setattr("models.zoo.import_module", lambda name: zoo)


def torchvision_of_another_torch(here: Path, patch: Patch) -> None:
    fault = RuntimeError("operator torchvision::nms does not exist")
    patch.setattr("models.zoo.import_module", raising(fault))
    forbid(patch, "torchvision", fault)


def no_network(here: Path, patch: Patch) -> None:
    datasets = ModuleType("torchvision.datasets")
    datasets.CIFAR10 = raising(
        OSError("<urlopen error [Errno -3] Temporary failure in name resolution>")
    )  # type: ignore[attr-defined]
    library = ModuleType("torchvision")
    library.datasets = datasets  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "torchvision", library)


def no_pandas(here: Path, patch: Patch) -> None:
    study_without_rows(here, patch)
    for name in [name for name in sys.modules if name.startswith("analysis.")]:
        if name == "analysis.__main__":
            continue
        # An import that fails leaves its package behind as an attribute: the old one comes back.
        parent, _, child = name.rpartition(".")
        if parent in sys.modules and hasattr(sys.modules[parent], child):
            patch.setattr(sys.modules[parent], child, getattr(sys.modules[parent], child))
        patch.delitem(sys.modules, name)
    forbid(patch, "pandas")


def no_ray(here: Path, patch: Patch) -> None:
    patch.delitem(sys.modules, "sweeps.running.cluster", raising=False)
    forbid(patch, "ray")


def torch_without_its_libraries(here: Path, patch: Patch) -> None:
    text = "libcudart.so.12: cannot open shared object file: No such file or directory"
    patch.setattr("trainables.data.prepare", raising(ImportError(text, name="torch._C")))


def no_optuna(here: Path, patch: Patch) -> None:
    forbid(patch, "optuna")


def without(package: str, *places: str) -> Callable[[Path, Patch], None]:
    """An environment in which `find_spec` of some modules does not find a package."""

    def hide(here: Path, patch: Patch) -> None:
        for place in places:
            patch.setattr(f"{place}.find_spec", lambda name: None if name == package else object())

    return hide


def half_of_tensorboard(here: Path, patch: Patch) -> None:
    known = importlib.import_module
    fault = ImportError("cannot import name 'event_pb2' from 'tensorboard.compat.proto'")
    patch.setattr("sweeps.loggers.selection.find_spec", lambda name: object())
    patch.setattr(
        importlib,
        "import_module",
        lambda name: raising(fault)() if "_logger" in name else known(name),
    )


def nobody_logged_in(here: Path, patch: Patch) -> None:
    logger = ModuleType("sweeps.loggers.wandb_logger")

    text = "--log wandb: nobody is logged in here: run `wandb login`, or set WANDB_MODE=offline"
    logger.check = raising(UserError(text))  # type: ignore[attr-defined]
    patch.setattr("sweeps.loggers.selection.find_spec", lambda name: object())
    patch.setitem(sys.modules, "sweeps.loggers.wandb_logger", logger)


def old_python(here: Path, patch: Patch) -> None:
    patch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    patch.setattr(sys, "executable", "/usr/bin/python3")
