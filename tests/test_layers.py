"""The structure of the code, read from the code: imports point down between packages, rooms and
files, nothing goes in circles, no name stands twice, files and lines are short, and every source
file has a test.

`python tests/test_layers.py` prints the figures.
"""

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[1]
LONGEST_FILE, MEDIAN_FILE, LONGEST_LINE = 300, 110, 100
SHORT_TESTS = (  # folders of tests whose files are as short as sources
    *("analysis/figures", "analysis/tables", "pretended_gpu", "pruning", "trainables/storage"),
    *("trainables/training", "trainables/weights", "written_before"),
)

# From the lowest package up: the other packages that each may import, and the libraries.
PACKAGES: dict[str, set[str]] = {
    "pruning": set(),
    "models": {"pruning"},
    "trainables": {"models", "pruning"},
    "sweeps": {"trainables", "models", "pruning"},
    "analysis": {"trainables", "pruning"},
}
LIBRARIES: dict[str, set[str]] = {
    "pruning": {"torch", "pydantic", "numpy"},
    "models": {"torch", "torchvision", "timm"},
    "trainables": {"torch", "torchvision", "pydantic", "pyarrow", "numpy", "PIL", "sklearn"}
    | {"safetensors"},
    "sweeps": {"ray", "pydantic", "pydantic_core", "yaml", "torch", "numpy", "optuna"},
    "analysis": {"pandas", "numpy", "scipy", "matplotlib", "fontTools", "pyarrow", "yaml"}
    | {"jinja2", "sklearn"},
}
EXTRA = {  # libraries that one file alone may import
    "pruning/structured/narrow_window_attention.py": {"torchvision"},
    "trainables/ray_notices.py": {"ray"},
    "trainables/ray_trainable.py": {"ray"},
    "trainables/data/hub.py": {"huggingface_hub"},
    "trainables/export/study_records.py": {"yaml"},
    "trainables/export/onnx_network.py": {"onnxruntime"},
    "pruning/onnx_file.py": {"onnx", "onnxscript"},
    "pruning/callbacks/lightning_callback.py": {"lightning"},
    "pruning/callbacks/trainer_callback.py": {"transformers"},
    "sweeps/live_view/terminal_view.py": {"rich"},
    "sweeps/live_view/mean_accuracy.py": {"rich"},
    "sweeps/live_view/running_trials.py": {"rich"},
    "sweeps/cli/completion.py": {"shtab"},
    "sweeps/cli/python_study.py": {"pandas", "analysis"},
    "sweeps/loggers/mlflow_logger.py": {"mlflow"},
    "sweeps/loggers/wandb_logger.py": {"wandb"},
}
# What the analysis may know of the other packages: the study directory, and what commands share.
USER_ERROR = "pruning.user_error"
SHARED = ("trainables.storage", "trainables.version", "trainables.command_line", USER_ERROR)
# The rooms of each package from the lowest up, as docs/architecture.md names them; a file at the
# top of a package is a room of its own.
ROOMS: dict[str, list[str]] = {
    package: names.split()
    for package, names in {
        "pruning": """user_error entry_points validation_errors seeds phases top_scores masks
            held_masks nm_pattern double_precision eval_mode batch_norm linear_flow
            small_initial_weights weight_uses cost connectivity structured layerwise
            feature_map_ranks method_answers method layer_patterns
            prunable_layers real_zeros pruned_network method_calls class_examples
            gradient_scores filters posttraining dynamic controls user_methods methods
            registry packed_weights onnx_file own_code callbacks testing_network testing""",
        "models": """sizes initial simple lenet scaled_vgg vgg cifar_resnet padded_resnet zoo
            user_modules model_registry""",
        "trainables": """version provenance node_faults safe_output storage command_line
            user_method_files checkpoint_format trial_records data environment training trial_spec
            network training_masks dense_weights saved_networks weights prune_inputs measured_row
            early_stop epoch_runner trial_results phase_runner trial rank_processes worker_checks
            ray_notices ray_trainable timing export""",
        "sweeps": """study_file planning estimate running loggers live_view cli
            full_study replicate search synflow_search""",
        "analysis": """columns method_styles metrics reading series tidy_rows statistics captions
            figures tables report replications __main__""",
    }.items()
}


@cache
def sources() -> dict[str, Path]:
    """Every source file by its module name."""
    files = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
            files[name.removesuffix(".__init__")] = path
    return files


@cache
def imports(path: Path) -> frozenset[str]:
    """Dotted names of all that a file imports: at its top, inside functions, and for types only."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return frozenset(name for node in nodes for name in names_of(node))


def names_of(node: ast.AST) -> Iterator[str]:
    """Dotted names of what a statement imports; none if it is no import."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"a relative import: {ast.unparse(node)}"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def find_module(name: str) -> str:
    """The module that an imported dotted name lies in: itself, or what it is taken from."""
    return name if name in sources() else name.rpartition(".")[0]


def edges() -> Iterator[tuple[str, str]]:
    """(importer, imported) for every import between two of our own files."""
    for module, path in sources().items():
        for name in imports(path):
            target = find_module(name)
            if target in sources() and target != module:
                yield module, target


def room(module: str) -> str:
    """The room of a module: the folder in its package, or the file at the top of it."""
    package, _, rest = module.partition(".")
    return rest.partition(".")[0] or package


def top_levels(path: Path) -> set[str]:
    """The packages and libraries that a file imports from."""
    return {name.partition(".")[0] for name in imports(path)}


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_is_below_them(package: str) -> None:
    for module, path in sources().items():
        if module.partition(".")[0] == package:
            place = path.relative_to(ROOT).as_posix()
            allowed = {package, *PACKAGES[package], *LIBRARIES[package], *EXTRA.get(place, ())}
            above = top_levels(path) - allowed - set(sys.stdlib_module_names)
            assert not above, f"{place} imports {sorted(above)}"


def test_torchvision_is_imported_where_it_is_used() -> None:
    """With what it brings it takes a second or more, at the start of every command and worker."""
    at_top = {
        str(path.relative_to(ROOT))
        for path in sources().values()
        for node in ast.parse(path.read_text()).body
        if any(name.partition(".")[0] == "torchvision" for name in names_of(node))
    }
    assert at_top == {"pruning/structured/narrow_window_attention.py"}  # itself imported when used


def test_models_know_of_pruning_only_the_error_of_a_user() -> None:
    for importer, imported in edges():
        if importer.startswith("models") and imported.startswith("pruning"):
            assert imported == USER_ERROR, f"{importer} imports {imported}"


def test_no_circle_of_files() -> None:
    graph: dict[str, set[str]] = defaultdict(set)
    for importer, imported in edges():
        graph[importer].add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"files import each other in a circle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("package", PACKAGES)
def test_rooms_import_only_rooms_below_them(package: str) -> None:
    order = {name: number for number, name in enumerate(ROOMS[package])}
    present = {room(module) for module in sources() if module.startswith(f"{package}.")}
    differ = present ^ set(order)
    assert not differ, f"change ROOMS and the list in docs/architecture.md: {sorted(differ)}"
    for importer, imported in edges():
        if importer.startswith(f"{package}.") and imported.startswith(f"{package}."):
            up, down = room(importer), room(imported)
            upward = up != down and order[down] > order[up]
            assert not upward, f"{importer} imports {imported}, which is above it"


def test_the_documentation_names_the_rooms_in_their_order() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    for package, names in ROOMS.items():
        listed = re.search(rf"^`{package}/`: (.*?)\.$", text, re.MULTILINE | re.DOTALL)
        assert listed, f"docs/architecture.md has no line of the rooms of {package}/"
        written = [
            f"{name}/" if (ROOT / package / name).is_dir() else f"{name}.py" for name in names
        ]
        assert re.findall(r"`([^`]+)`", listed[1]) == written, package


def test_the_analysis_knows_of_trials_only_their_study_directory() -> None:
    def is_shared(name: str) -> bool:
        return any(name == known or name.startswith(f"{known}.") for known in SHARED)

    for module, path in sources().items():
        others = {name for name in imports(path) if name.startswith(("trainables.", "pruning."))}
        if module.startswith("analysis"):
            assert all(map(is_shared, others)), f"{module}: {sorted(others)}"
    reached = {"trainables.storage.store", "trainables.storage.schema", "trainables.command_line"}
    queue = list(reached)
    while queue:  # what these import, in turn, must be as light
        for target in map(find_module, imports(sources()[queue.pop()])):
            if target in sources() and target not in reached:
                reached.add(target)
                queue.append(target)
    for module in reached - {"trainables.storage.checkpoints"}:
        assert not top_levels(sources()[module]) & {"torch", "ray"}, module


def test_no_module_name_stands_twice() -> None:
    names = Counter(path.stem for path in sources().values() if not path.stem.startswith("__"))
    assert not [name for name, count in names.items() if count > 1]


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in sources().values()}
    long = {path.name: count for path, count in lengths.items() if count > LONGEST_FILE}
    assert not long, f"is there a second noun inside? {long}"
    assert median(lengths.values()) < MEDIAN_FILE


@pytest.mark.parametrize("folder", SHORT_TESTS)
def test_files_of_tests_are_short(folder: str) -> None:
    files = sorted((ROOT / "tests" / folder).rglob("*.py"))
    long = {path.name: len(path.read_text().splitlines()) for path in files}
    long = {name: count for name, count in long.items() if count > LONGEST_FILE}
    assert files and not long, f"split it by subject: {long}"


@pytest.mark.parametrize("folder", [*PACKAGES, "benchmarks", "clusters", "docs/generate", "tests"])
def test_lines_are_short(folder: str) -> None:
    long = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(re.sub(r"  # (type: ignore|fmt: ).*", "", line)) > LONGEST_LINE
    ]
    assert not long, f"longer than {LONGEST_LINE} columns: {', '.join(long)}"


def test_every_source_file_has_a_test() -> None:
    covered: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        place = path.relative_to(ROOT / "tests")
        covered.add((place.parent / path.name.removeprefix("test_")).as_posix())
        doc = ast.get_docstring(ast.parse(path.read_text())) or ""
        for listed in re.findall(r"^Covers: ((?:.|\n)+?)\.$", doc, re.MULTILINE):
            for name in re.split(r",\s+", listed):
                assert (ROOT / name).is_file(), f"{place} covers {name}, which is not there"
                covered.add(name)
    places = {path.relative_to(ROOT).as_posix() for path in sources().values()}
    missing = {place for place in places - covered if not place.endswith("__init__.py")}
    assert not missing, f"no test file names {sorted(missing)}"


if __name__ == "__main__":
    lengths = [len(path.read_text().splitlines()) for path in sources().values()]
    print(f"{len(lengths)} files, median {median(lengths):.0f} lines, longest {max(lengths)}")
    print(f"{len(set(edges()))} imports between them")
    print(f"{sum(map(len, ROOMS.values()))} rooms and files at the top")
