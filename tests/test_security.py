"""Nothing that lies in a study directory or a study file is ever executed, and nothing is written
outside.

The first half reads the project's own source; the second plants a payload that would leave a file
behind.
"""

import ast
import hashlib
import io
import pickle
import re
import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning.user_error import UserError
from trainables.data import prepared
from trainables.storage import checkpoints, parquet_tables, schema
from trainables.storage.store import Store
from trainables.training.recipe import Recipe
from trainables.trial_spec import TrialSpec, dense_spec

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path
    for folder in (
        "analysis",
        "benchmarks",
        "clusters",
        "models",
        "pruning",
        "sweeps",
        "trainables",
    )
    for path in (ROOT / folder).rglob("*.py")
)

# Modules that make objects of bytes, and names of functions that run text or load objects; by their
# full names.
LOADERS = {
    "pickle",
    "_pickle",
    "cPickle",
    "cloudpickle",
    "dill",
    "marshal",
    "shelve",
    "joblib",
    "jsonpickle",
}
RUNNERS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN = {
    *(
        f"yaml.{name}"
        for name in (
            "load",
            "load_all",
            "unsafe_load",
            "unsafe_load_all",
            "full_load",
            "full_load_all",
        )
    ),
    *(
        f"yaml.{name}"
        for name in (
            "Loader",
            "UnsafeLoader",
            "FullLoader",
            "CLoader",
            "CUnsafeLoader",
            "CFullLoader",
        )
    ),
    *(
        f"os.{name}"
        for name in (
            "system",
            "popen",
            "execv",
            "execve",
            "execvp",
            "execl",
            "spawnv",
            "posix_spawn",
        )
    ),
    *(
        "subprocess.getoutput",
        "subprocess.getstatusoutput",
        "pandas.read_pickle",
        "pandas.to_pickle",
    ),
    *("torch.jit.load", "torch.package", "torch.serialization.add_safe_globals"),
    *(
        f"torch.hub.{name}"
        for name in ("load", "list", "help", "load_state_dict_from_url")  # they run code of others
    ),
    *(
        "torch.serialization.safe_globals",
        "builtins.eval",
        "builtins.exec",
        "ray.cloudpickle",
        "numpy.memmap",
    ),
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


class Payload:
    """An object whose pickle creates a file when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self.target,)


@pytest.fixture
def sentinel(tmp_path: Path) -> Path:
    """The file that a payload creates; it must not be there in the end."""
    return tmp_path / "executed"


def shapes(sentinel: Path) -> dict[str, bytes]:
    """A payload in every way in which it could lie in a `.pt` file."""
    zipped, legacy, hidden = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save(Payload(sentinel), zipped)
    torch.save(Payload(sentinel), legacy, _use_new_zipfile_serialization=False)
    torch.save({"step": 3, "course": {"rows": [Payload(sentinel)]}, "format": 2}, hidden)
    plain = pickle.dumps(Payload(sentinel))
    return {
        "zip": zipped.getvalue(),
        "legacy": legacy.getvalue(),
        "hidden": hidden.getvalue(),
        "pickle": plain,
    }


SHAPES = ["zip", "legacy", "hidden", "pickle"]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_payload_is_live(shape: str, sentinel: Path) -> None:
    content = shapes(sentinel)[shape]
    pickle.loads(content) if shape == "pickle" else torch.load(
        io.BytesIO(content), weights_only=False
    )
    assert sentinel.exists()


def plant(store: Store, folder: str, stem: str, number: int, content: bytes) -> None:
    """A file as somebody would write it who can write the study directory: its name has the right
    checksum."""
    store.write(
        f"{folder}/{stem}-{number:06d}-{hashlib.sha256(content).hexdigest()[:16]}.pt", content
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("folder", ["checkpoints/k", "artifacts/k"])
def test_a_planted_state_is_passed_over_and_not_executed(
    folder: str, shape: str, tmp_path: Path, sentinel: Path
) -> None:
    store = Store.at(tmp_path / "study")
    checkpoints.publish_state(store, folder, "step", 1, {"step": 1})
    plant(store, folder, "step", 2, shapes(sentinel)[shape])
    with pytest.warns(UserWarning, match=r"step-000002-\w+\.pt: holds no state"):
        found = checkpoints.read_newest_state(store, folder, "step")
    assert found is not None and found[1] == {"step": 1}
    with pytest.warns(UserWarning, match="holds no state"):
        assert checkpoints.read_newest_state(store, folder, "step", 2) is None
    assert not sentinel.exists()


SPEC = TrialSpec(
    dataset="digits",
    model="mlp",
    method="magnitude",
    sparsities=(0.5,),
    seed=0,
    recipe=Recipe(epochs=1),
)


def test_a_trial_whose_checkpoint_was_planted_begins_anew(
    open_trial: Any, tmp_path: Path, sentinel: Path
) -> None:
    spec, store = dense_spec(SPEC), Store.at(tmp_path)
    for number, content in enumerate(shapes(sentinel).values(), 1):
        plant(store, f"checkpoints/{spec.key}", "step", number * 1_000_000, content)
    with pytest.warns(UserWarning, match="holds no state"):
        trial = open_trial(spec)
    assert trial.step == 0
    trial.run()
    assert trial.done and not sentinel.exists()


def test_a_trial_whose_parent_was_planted_fails_without_executing_it(
    open_trial: Any, tmp_path: Path, sentinel: Path
) -> None:
    from trainables.dense_weights import DenseWeightsMissing

    plant(
        Store.at(tmp_path), f"artifacts/{dense_spec(SPEC).key}", "epoch", 1, shapes(sentinel)["zip"]
    )
    with pytest.warns(UserWarning, match="holds no state"), pytest.raises(DenseWeightsMissing):
        open_trial(SPEC)
    assert not sentinel.exists()


# numpy can load pickles from the index; what is not planted quickly is in the slow form.
QUICK = [
    *(("index.npy", shape) for shape in SHAPES),
    ("facts.json", "pickle"),
    ("pixels.bin", "zip"),
]
FILES = ("facts.json", "index.npy", "pixels.bin")
REST = [pair for pair in product(FILES, SHAPES) if pair not in QUICK]


@pytest.mark.parametrize("pairs", [QUICK, pytest.param(REST, marks=pytest.mark.slow)])
def test_planted_prepared_data_are_made_anew_and_not_executed(
    pairs: list[tuple[str, str]], tmp_path: Path, sentinel: Path
) -> None:
    path = prepared.prepare("digits", cache=tmp_path / "cache")
    good = prepared.load_prepared(path).digest
    for file, shape in pairs:
        (path / file).unlink()  # the old file may still be mapped into this process
        (path / file).write_bytes(shapes(sentinel)[shape])
        with pytest.raises(UserError, match="prepare makes them anew"):
            prepared.load_prepared(path)
        with pytest.warns(UserWarning, match="prepare makes them anew"):
            prepared.prepare("digits", cache=tmp_path / "cache")
        assert prepared.load_prepared(path).digest == good and not sentinel.exists()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("table", schema.TABLES)
def test_a_planted_table_is_not_executed(table: str, shape: str, sentinel: Path) -> None:
    with pytest.raises(parquet_tables.DamagedTable):
        parquet_tables.decode_table(table, shapes(sentinel)[shape])
    assert not sentinel.exists()


TAGS = [
    "!!python/object/apply:pathlib.Path.touch [{path}]",
    "name: !!python/object/apply:os.system ['touch {path}']",
    "published: [!!python/object/new:os.system ['touch {path}']]",
    "? !!python/object/apply:os.system ['touch {path}']\n: 1",
    "name: !!python/name:os.system",
    "name: !!python/module:os",
]


@pytest.mark.parametrize("tag", TAGS)
def test_tags_in_a_study_directory_are_not_executed(
    tag: str, tmp_path: Path, sentinel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from analysis.reading.load import load_study
    from sweeps import full_study

    store, text = Store.at(tmp_path / "study"), tag.format(path=sentinel)
    store.write("study.yaml", text.encode())
    words = ["--preset", "cifar10_small", "--out", str(tmp_path / "study"), "--dry-run"]
    assert full_study.main(words) == 2
    assert (
        "study.yaml cannot be read: line 1: could not determine a constructor"
        in capsys.readouterr().err
    )
    assert any("skipped study.yaml" in warning for warning in load_study(store).warnings)
    (tmp_path / "asked.yaml").write_text(text)
    assert full_study.main(["--study", str(tmp_path / "asked.yaml"), "--dry-run"]) == 2
    assert full_study.main(["--preset", "cifar10_small", "--set", f"name={text}", "--dry-run"]) == 2
    assert not sentinel.exists()


# Keys

NAMES = st.one_of(
    st.text(max_size=40),
    st.just("x" * 5000),
    st.sampled_from(
        [
            "..",
            "../..",
            "/etc/passwd",
            "a/../../b",
            ".",
            "",
            "~",
            "C:\\x",
            "a\0b",
            "..\\..",
            "-",
            "%2e%2e",
            "\ud800",
        ]
    ),
)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    NAMES,
    NAMES,
    NAMES,
    st.integers(0, 2**63 - 1),
    st.lists(st.floats(0, 1, exclude_max=True), max_size=3),
)
def test_a_key_cannot_leave_the_study_directory(
    dataset: str, model: str, method: str, seed: int, sparsities: list[float]
) -> None:
    key = TrialSpec(
        dataset=dataset, model=model, method=method, seed=seed, sparsities=tuple(sparsities)
    ).key
    assert re.fullmatch(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+){3}", key)
    assert all(
        part.strip(".") and not part.startswith(".") and len(part) < 230 for part in key.split("/")
    )
    for path in (f"rows/{key}.parquet", f"checkpoints/{key}/step-000001-0123456789abcdef.pt"):
        assert Path("/study", path).resolve().is_relative_to("/study/" + path.split("/")[0])


def test_names_that_look_alike_as_folders_have_keys_of_their_own() -> None:
    names = ["a/b", "a_b", "a:b", "a b", "/a/b", ".a/b", "a" * 100, "a" * 101]
    for field in ("dataset", "model"):
        specs = [SPEC.model_copy(update={field: name}) for name in names]
        assert len({spec.key for spec in specs}) == len(names)


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../../x", "a/./b", "", "a//b", "a\\b", "a\0b"]
)
def test_a_store_takes_no_path_that_leads_out_of_it(path: str, tmp_path: Path) -> None:
    store = Store.at(tmp_path / "study")
    for act in (store.read, store.exists, store.delete, lambda path: store.write(path, b"x")):
        with pytest.raises(ValueError, match="must be relative"):
            act(path)
    assert not list(tmp_path.iterdir())


def test_a_damaged_state_is_a_warning_and_not_an_error_that_could_hide_a_payload(
    tmp_path: Path, sentinel: Path
) -> None:
    """A zip archive whose pickle is cut in the middle: loading must neither run its beginning nor
    raise."""
    store = Store.at(tmp_path / "study")
    whole = shapes(sentinel)["zip"]
    for length in range(0, len(whole), 97):
        plant(store, "checkpoints/k", "step", length, whole[:length])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert checkpoints.read_newest_state(store, "checkpoints/k", "step") is None
    assert len(told) == len(range(0, len(whole), 97)) and not sentinel.exists()
