"""No source file calls or imports what could run what it reads: pickle, a shell, `eval`, a loader
of objects."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("analysis", "benchmarks", "clusters", "models", "pruning", "sweeps", "trainables")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))

# Modules that make objects of bytes, and names of functions that run text or load objects; by their
# full names.
LOADERS = {
    *("pickle", "_pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"),
    "jsonpickle",
}
RUNNERS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN = {
    *("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.full_load"),
    *("yaml.full_load_all", "yaml.Loader", "yaml.UnsafeLoader", "yaml.FullLoader"),
    *("yaml.CLoader", "yaml.CUnsafeLoader", "yaml.CFullLoader"),
    *("os.system", "os.popen", "os.execv", "os.execve", "os.execvp", "os.execl", "os.spawnv"),
    *("os.posix_spawn", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("pandas.read_pickle", "pandas.to_pickle", "ray.cloudpickle", "numpy.memmap"),
    *("torch.jit.load", "torch.package", "torch.serialization.add_safe_globals"),
    "torch.serialization.safe_globals",
    # They run code of others.
    *("torch.hub.load", "torch.hub.list", "torch.hub.help", "torch.hub.load_state_dict_from_url"),
    *("builtins.eval", "builtins.exec"),
}
# The watcher runs the command that its operator gives on its command line, by a shell because he
# asks for one.
SHELLS = {"clusters/spot_watcher.py"}
# The places that import by name: networks, methods and loggers, from a list or from what the user
# names on purpose.
IMPORTERS = {
    "models/model_registry.py",
    "models/user_modules.py",
    "models/zoo.py",
    "pruning/registry.py",
    "sweeps/loggers/selection.py",
    # The project's own packages, by names that are written there.
    "pruning/__init__.py",
    "sweeps/full_study.py",
    "sweeps/replicate.py",
    "sweeps/running/import_path/sitecustomize.py",
    "sweeps/synflow_search.py",
}
# The one that reads the user's own weights. Beside tensors it lets in numbers of numpy and
# `argparse.Namespace`, which training scripts store and which can run nothing.
READERS_OF_WEIGHTS = {"trainables/weights/file_reader.py"}
# The one that runs a user's own method: his file, or in a worker bytes with the SHA-256 that the
# driver planned with.
EXECUTORS = {"pruning/user_methods.py"}


def full_names(tree: ast.Module) -> dict[str, str]:
    """What each name that a file imports stands for."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            found |= {
                alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names
            }
    return found


def dotted(node: ast.AST, names: dict[str, str]) -> str:
    """The full name of an expression such as `torch.load`, empty where it is not one."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{inner}.{node.attr}" if (inner := dotted(node.value, names)) else ""
    return ""


def is_constant(call: ast.Call, name: str, value: object) -> bool:
    return any(
        word.arg == name and isinstance(word.value, ast.Constant) and word.value.value is value
        for word in call.keywords
    )


def faults(source: str, place: str = "x.py") -> list[str]:
    """What in a file could run what it reads."""
    tree = ast.parse(source)
    names = full_names(tree)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
            )
            modules += (
                [f"{node.module}.{alias.name}" for alias in node.names]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            found += [
                f"imports {one}"
                for one in modules
                if LOADERS & set(one.split(".")) or one in FORBIDDEN
            ]
        elif isinstance(node, ast.Attribute) and (used := dotted(node, names)) in FORBIDDEN:
            allowed = used == "torch.serialization.safe_globals" and place in READERS_OF_WEIGHTS
            found += [] if allowed else [f"uses {used}"]
        if not isinstance(node, ast.Call):
            continue
        called = dotted(node.func, names)
        if called == "torch.load" and not is_constant(node, "weights_only", True):
            found.append("torch.load without weights_only=True")
        if called == "numpy.load" and not is_constant(node, "allow_pickle", False):
            found.append("numpy.load without allow_pickle=False")
        if called in RUNNERS and place not in EXECUTORS:
            found.append(f"calls {called}")
        if place not in SHELLS and any(
            word.arg == "shell" and not is_constant(node, "shell", False) for word in node.keywords
        ):
            found.append("runs a shell")
        if called.endswith("import_module") and place not in IMPORTERS:
            found.append("imports by name")
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("read_pickle", "to_pickle"):
            found.append(f"calls {node.func.attr}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_source_runs_what_it_reads(path: Path) -> None:
    assert faults(path.read_text(), path.relative_to(ROOT).as_posix()) == []


BAD = [
    "import torch\ntorch.load(path)",
    "import torch\ntorch.load(path, weights_only=False)",
    "import torch\ntorch.load(path, weights_only=chosen)",
    "from torch import load\nload(path)",
    "import torch as t\nt.load(path)",
    "import pickle",
    "import pickle as p",
    "from pickle import loads",
    "from ray import cloudpickle",
    "import ray.cloudpickle as c",
    "import dill.session",
    "import marshal, json",
    "import yaml\nyaml.load(text, Loader=yaml.SafeLoader)",
    "from yaml import unsafe_load",
    "import yaml\nclass L(yaml.UnsafeLoader): pass",
    "eval(text)",
    "exec(text)",
    "__import__(name)",
    "import builtins\nbuiltins.exec(text)",
    "import subprocess\nsubprocess.run(text, shell=True)",
    "import subprocess\nsubprocess.Popen(text, shell=flag)",
    "import os\nos.system(text)",
    "from os import popen",
    "import numpy as np\nnp.load(path)",
    "import numpy as np\nnp.load(path, allow_pickle=True)",
    "import pandas as pd\npd.read_pickle(path)",
    "frame.to_pickle(path)",
    "import torch\ntorch.serialization.add_safe_globals([x])",
    "import torch\nwith torch.serialization.safe_globals([x]): pass",
    "import torch\ntorch.hub.load('owner/name', 'net')",
    "from torch.hub import load",
    "import importlib\nimportlib.import_module(name)",
]


@pytest.mark.parametrize("source", BAD)
def test_the_reading_of_sources_finds_what_it_looks_for(source: str) -> None:
    assert faults(source) != []


def test_the_reading_of_sources_lets_pass_what_is_safe() -> None:
    good = (
        "import torch, yaml, numpy as np, subprocess, "
        "re\nmodel.eval()\nre.compile(text)\nyaml.safe_load(text)\n"
    )
    good += (
        "torch.load(path, weights_only=True)\nnp.load(path, "
        "allow_pickle=False)\nsubprocess.run(['git'], check=True)\n"
    )
    assert faults(good) == [] and len(SOURCES) > 80
