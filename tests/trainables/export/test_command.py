"""Exporting one network: formats, forms, the card, what is refused, and networks that the study did
not keep."""

import json
import math
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pruning.masks import prunable
from pruning.user_error import UserError
from trainables import export as module
from trainables.environment import Environment
from trainables.export import export, load_pruned
from trainables.export.command import TOLERANCE, choice, compare, main, pruned
from trainables.storage import checkpoints, parquet_tables
from trainables.storage.store import Store
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec, dense_spec

RECIPE = Recipe(epochs=1, batch=400, lr=0.05, precision="fp32", augment="none")
RETRAIN = RECIPE.model_copy(update={"lr": 0.005})


def make_spec(method: str, *sparsities: float, **knobs: Any) -> TrialSpec:
    return TrialSpec(
        dataset="digits",
        model="resnet8",
        method=method,
        knobs=knobs,
        sparsities=sparsities or (0.6,),
        seed=4,
        recipe=RECIPE,
        retrain=None if method == "lottery_ticket" else RETRAIN,
    )


MASKED, SLIM, TICKETS = (
    make_spec("magnitude"),
    make_spec("l1_filter"),
    make_spec("lottery_ticket", 0.2, 0.36, levels=2),
)
DENSE = dense_spec(MASKED)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that keeps networks: dense, masked, with channels removed, and with two levels."""
    folder = tmp_path_factory.mktemp("study")
    for spec in (DENSE, MASKED, SLIM, TICKETS):
        Trial(spec, Environment(store=str(folder), study="homework", keep_networks="all")).run()
    return folder


@pytest.fixture
def bare(study: Path, tmp_path: Path) -> Path:
    """The same study without its networks."""
    folder = tmp_path / "bare"
    shutil.copytree(study, folder, ignore=shutil.ignore_patterns("networks"))
    return folder


@pytest.fixture(scope="module")
def exported(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Exports a network in a format and form, once; what comes back is to be read only."""
    folder, made = tmp_path_factory.mktemp("exported"), {}

    def find(spec: TrialSpec, to: Any = "safetensors", form: Any = None) -> Path:
        place = folder / f"{spec.method}-{to}-{form}"
        if place not in made:
            made[place] = export(spec.key, study, to=to, form=form, out=place)
        return made[place]

    return find


def original(study: Path, spec: TrialSpec, level: int = 1) -> torch.nn.Module:
    from trainables import saved_networks

    found = saved_networks.find(
        Store.at(study), spec.key, level, read_row(study, spec, level)["digest"]
    )
    assert found is not None
    return found.rebuild()


def read_row(study: Path, spec: TrialSpec, level: int = 1) -> dict[str, Any]:
    rows = parquet_tables.decode(
        "rows", (study / f"rows/{spec.key}.parquet").read_bytes()
    ).to_pylist()
    return next(row for row in rows if row["level"] == level)


def images(batch: int) -> torch.Tensor:
    return torch.randn(batch, 1, 8, 8, generator=torch.Generator().manual_seed(100 + batch))


# Formats and forms


@pytest.mark.parametrize("form", ["dense", "masks", "slim"])
@pytest.mark.parametrize("to", ["safetensors", "state_dict", "onnx"])
def test_every_format_in_every_form_computes_the_same(
    to: Any, form: Any, study: Path, exported: Callable[..., Path]
) -> None:
    out = exported(SLIM, to, form)
    loaded, expected = load_pruned(out), original(study, SLIM)
    for batch in (1, 3, 8):
        with torch.no_grad():
            torch.testing.assert_close(
                loaded(images(batch)), expected(images(batch)), rtol=1e-5, atol=1e-5
            )
    files = {path.name for path in out.iterdir()}
    wanted = {"README.md", "config.json", pruned.NETWORKS[to]} | (
        {pruned.MASKS[to]} if form == "masks" else set()
    )
    assert files == wanted
    if form == "masks":
        masks = pruned.load_masks(out)
        total = sum(mask.numel() for mask in masks.values())
        left = sum(int(mask.sum()) for mask in masks.values())
        assert 1 - left / total == read_row(study, SLIM)["sparsity_reached"]
    else:
        with pytest.raises(UserError, match=f"holds no masks: it was exported with --form {form}"):
            pruned.load_masks(out)


def test_the_slim_form_is_the_default_where_channels_went(exported: Callable[..., Path]) -> None:
    assert pruned.read_config(exported(SLIM)).form == "slim"
    assert pruned.read_config(exported(MASKED)).form == "dense"


def test_the_graph_of_the_slim_form_is_smaller(exported: Callable[..., Path]) -> None:
    import onnx

    slim, dense = exported(SLIM, "onnx", "slim"), exported(SLIM, "onnx", "dense")
    assert (slim / "network.onnx").stat().st_size < 0.6 * (dense / "network.onnx").stat().st_size
    sizes = [
        sum(
            math.prod(tensor.dims)
            for tensor in onnx.load(folder / "network.onnx").graph.initializer
            if tensor.dims[1:]
        )
        for folder in (slim, dense)
    ]
    masks = pruned.load_masks(exported(SLIM, "onnx", "masks")).values()
    assert sizes == [sum(int(mask.sum()) for mask in masks), sum(mask.numel() for mask in masks)]


def test_a_graph_tells_nothing_of_this_machine(exported: Callable[..., Path]) -> None:
    content = (exported(SLIM, "onnx", "slim") / "network.onnx").read_bytes()
    assert str(Path(pruned.__file__).parent.parent).encode() not in content
    assert b"stack_trace" not in content and b"site-packages" not in content


def test_a_state_dict_is_plain_tensors_that_load_without_pickle(
    study: Path, exported: Callable[..., Path]
) -> None:
    weights = torch.load(exported(MASKED, "state_dict") / "network.pt", weights_only=True)
    assert weights.keys() == original(study, MASKED).state_dict().keys()
    assert all(type(value) is torch.Tensor for value in weights.values())


def test_a_pickle_in_place_of_the_weights_is_not_executed(study: Path, tmp_path: Path) -> None:
    sentinel = tmp_path / "executed"
    out = export(MASKED.key, study, to="state_dict", out=tmp_path / "out")

    class Payload:
        def __reduce__(self) -> Any:
            return Path.touch, (sentinel,)

    torch.save({"conv.weight": Payload()}, out / "network.pt")
    with pytest.raises(UserError, match="network.pt' does not hold the weights of this 'resnet8'"):
        load_pruned(out)
    (out / "network.pt").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(UserError):
        load_pruned(out)
    assert not sentinel.exists()


def test_the_generator_of_the_one_who_loads_stays_where_it_was(
    exported: Callable[..., Path],
) -> None:
    before = torch.get_rng_state()
    load_pruned(exported(MASKED))
    assert torch.equal(torch.get_rng_state(), before)


def test_every_level_can_be_had(study: Path, tmp_path: Path) -> None:
    for level in (1, 2):
        out = export(TICKETS.key, study, level=level, out=tmp_path / str(level))
        weights = prunable(load_pruned(out)).values()
        zeros = sum(int((weight == 0).sum()) for weight in weights) / sum(
            weight.numel() for weight in weights
        )
        assert zeros == pytest.approx(read_row(study, TICKETS, level)["sparsity_reached"], abs=1e-9)
    last = export(TICKETS.key, study, out=tmp_path / "last")
    assert json.loads((last / "config.json").read_text())["level"] == 2


# The card


def told(card: str) -> dict[str, str]:
    """The entries of the card's tables."""
    return dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", card, flags=re.MULTILINE))


@pytest.mark.parametrize("spec", [DENSE, MASKED, SLIM], ids=lambda spec: spec.method)
def test_the_cards_numbers_are_the_rows(
    spec: TrialSpec, study: Path, exported: Callable[..., Path]
) -> None:
    row = read_row(study, spec, 0 if spec.method == "dense" else 1)
    found = told((exported(spec) / "README.md").read_text())

    def number(name: str) -> float:
        return float(re.split(r"[ x]", found[name])[0].replace(",", ""))

    assert number("test top-1") == round(row["test_top1"], 2)
    assert number("test top-5") == round(row["test_top5"], 2)
    assert number("test loss") == round(row["test_loss"], 4)
    assert number("validation top-1") == round(row["val_top1"], 2)
    assert number("sparsity asked for") == row["sparsity"]
    assert number("sparsity reached") == round(row["sparsity_reached"], 6)
    assert number("parameters") == row["params"] and number("nonzero parameters") == row["nonzero"]
    assert number("compression") == round(row["compression"], 2)
    assert number("MACs per image") == row["macs"]
    assert number("MACs per image without those of zeros") == round(row["effective_macs"])
    assert (
        number("seed") == row["seed"]
        and found["data set"] == "digits"
        and found["method"] == f"`{spec.method}`"
    )
    assert (
        found["key"] == f"`{spec.key}`"
        and found["digest of weights and masks"] == f"`{row['digest']}`"
    )
    assert found["versions"] == row["versions"] and found["study"] == "homework"
    assert (
        found["training recipe"]
        == "augment = none, batch = 400, epochs = 1, lr = 0.05, precision = fp32"
    )
    if spec.method == "dense":
        assert (
            found["knobs"] == "it has none"
            and "dense network of the same seed, test top-1" not in found
        )
    else:
        assert "scope = " in found["knobs"] or "mode = " in found["knobs"]
        assert "arXiv" in found["paper"]
        assert number("dense network of the same seed, test top-1") == round(
            read_row(study, DENSE, 0)["test_top1"], 2
        )


@pytest.mark.parametrize("to", ["safetensors", "state_dict", "onnx"])
def test_what_the_card_tells_to_type_works(
    to: Any, exported: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = exported(SLIM, to, "slim")
    monkeypatch.chdir(out)
    blocks = re.findall(r"```python\n(.*?)```", (out / "README.md").read_text(), flags=re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    assert names["network"](images(2)).shape == (2, 10)
    assert names["logits"].shape == (1, 10) if to == "onnx" else "fc.weight" in names["weights"]


def test_a_method_of_the_users_own_is_described_by_the_plan(study: Path) -> None:
    row = {**read_row(study, MASKED), "method": "mine", "knobs": '{"strength": 3}'}
    card = {
        "title": "Mine",
        "paper": "-",
        "summary": "s",
        "kind": "unstructured",
        "cost": "c",
        "when": "w",
    }
    found = choice.describe_method(
        row, {"cards": {"mine": {**card, "knobs": {"strength": 1, "other": 2}}}}
    )
    assert found == {**card, "knobs": {"strength": 3, "other": 2}}


# Which trial


def test_a_key_its_unique_beginning_and_its_title_are_understood(study: Path) -> None:
    store = Store.at(study)
    asked = [
        TICKETS.key,
        "digits-resnet8/lottery",
        f"{TICKETS.key} (levels=2)",
        f" {TICKETS.key}/ ",
    ]
    assert {choice.find_key(store, text) for text in asked} == {TICKETS.key}


MISTAKES = {
    "digits-resnet8/magnitude/s0.700/seed4": "no trial '.*' in .*; the nearest are digits-resnet8/magnitude/s0.600/seed4-",
    "digits-resnet8/l": "'digits-resnet8/l' begins 2 keys, e.g. digits-resnet8/l1_filter/.*; give more of one",
    "": "no trial '' in .*; the nearest are",
    "planned": "planned/one is not done; run the study again to finish it",
    "failed": r"failed/one failed \(.*failures/failed/one.json\), so it has no network",
    "damaged": "the rows of damaged/one are damaged",
    "foreign": r"the rows of foreign/one are damaged \(it is of another trial than its name says\)",
}


@pytest.mark.parametrize("key", MISTAKES)
def test_a_trial_that_cannot_be_had_is_one_line(
    key: str, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(study, folder)
    trials = [{"key": f"{name}/one"} for name in ("planned", "failed", "damaged", "foreign")]
    Store.at(folder).write("plan.json", json.dumps({"trials": trials}).encode())
    Store.at(folder).write("failures/failed/one.json", b"{}")
    Store.at(folder).write("rows/damaged/one.parquet", b"no Parquet")
    Store.at(folder).write(
        "rows/foreign/one.parquet", Store.at(folder).read(f"rows/{MASKED.key}.parquet")
    )
    assert main([key, "--study", str(folder), "--out", str(tmp_path / "out")]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ") and line.count("\n") == 1
    assert re.search(MISTAKES[key], line)
    assert not (tmp_path / "out").exists()


def test_other_requests_that_are_refused(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="magnitude removed no channels of .*; take dense or masks"):
        export(MASKED.key, study, form="slim", out=tmp_path / "out")
    with pytest.raises(UserError, match="has no level 7; there are: 1, 2"):
        export(TICKETS.key, study, level=7, out=tmp_path / "out")
    with pytest.raises(UserError, match="no study in .*: it has neither plan.json nor rows"):
        export(MASKED.key, tmp_path / "nowhere", out=tmp_path / "out")
    with pytest.raises(UserError, match="--out must be a local folder, but got 's3://b/x'"):
        export(MASKED.key, study, out="s3://b/x")
    with pytest.raises(UserError, match="no exported network in '.*': config.json: No such file"):
        load_pruned(tmp_path)
    (tmp_path / "config.json").write_text('{"model": 3}')
    with pytest.raises(
        UserError, match="config.json' is no config of an exported network: to: field required"
    ):
        load_pruned(tmp_path)
    monkeypatch.setattr(
        choice, "find_spec", lambda name: None if name == "onnxruntime" else object()
    )
    with pytest.raises(
        UserError, match=r"'onnx' needs the package 'onnxruntime': pip install -e '\.\[export\]'"
    ):
        export(MASKED.key, study, to="onnx", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_is_filled_only_if_nothing_is_in_it(study: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export(MASKED.key, study, out=tmp_path / "out")
    with pytest.raises(
        UserError, match="out is not empty; name another folder with --out, or delete it"
    ):
        export(MASKED.key, study, out=tmp_path / "out")


def test_what_does_not_compute_the_same_is_not_published(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = pruned.load

    def load_spoilt(path: Path) -> torch.nn.Module:
        network = load(path)
        network.fc.bias.data[3] += 1e-3  # type: ignore[union-attr,operator]
        return network

    monkeypatch.setattr(pruned, "load", load_spoilt)
    with pytest.raises(UserError, match=r"outputs differ by \d\.\de-0\d, more than 1e-05"):
        export(MASKED.key, study, out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_networks_are_compared_by_the_size_of_their_outputs_and_nan_is_no_agreement() -> None:
    class Answer(torch.nn.Module):
        def __init__(self, *values: float) -> None:
            super().__init__()
            self.values = torch.tensor(values)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.values.expand(len(x), -1)

    def gap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
        return compare(Answer(*one), Answer(*other), (1, 2, 2))

    assert gap((0.0, 200.0), (1.0, 200.0)) == pytest.approx(1 / 200)
    assert gap((0.1, 0.2), (0.1, 0.3)) == pytest.approx(0.1)
    assert gap((float("nan"), 1.0), (float("nan"), 1.0)) == 0
    assert not gap((1.0, 1.0), (float("nan"), 1.0)) <= TOLERANCE


# Networks that the study did not keep


def test_without_kept_networks_the_way_to_them_is_told(
    bare: Path, tmp_path: Path, capsys: Any
) -> None:
    assert main([MASKED.key, "--study", str(bare)]) == 2
    line = capsys.readouterr().err
    assert (
        "--again, which trains this trial" in line
        and "--set keep_networks=all" in line
        and line.count("\n") == 1
    )


def test_a_trial_is_trained_again_to_the_same_network(
    bare: Path, study: Path, tmp_path: Path
) -> None:
    before = (bare / f"rows/{SLIM.key}.parquet").read_bytes()
    out = export(SLIM.key, bare, again=True, out=tmp_path / "out")
    assert compare(original(study, SLIM), load_pruned(out), (1, 8, 8)) == 0
    assert "trained again" not in (out / "README.md").read_text()
    assert (bare / f"rows/{SLIM.key}.parquet").read_bytes() == before, "rows are written once"
    assert [path.parent.name for path in (bare / "networks").rglob("*.pt")] == [
        SLIM.key.rpartition("/")[2]
    ]
    export(SLIM.key, bare, out=tmp_path / "second")  # it is kept from now on


def test_a_dense_network_is_read_from_what_other_trials_start_from(
    bare: Path, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trial, "run", lambda trial: pytest.fail("nothing needs to be trained"))
    out = export(DENSE.key, bare, again=True, out=tmp_path / "out")
    assert compare(original(study, DENSE, 0), load_pruned(out), (1, 8, 8)) == 0


def test_dense_weights_of_another_training_are_not_exported_under_the_row(
    bare: Path, study: Path, tmp_path: Path
) -> None:
    store, folder = Store.at(bare), f"artifacts/{DENSE.key}"
    found = checkpoints.newest(store, folder, "epoch", 1)
    assert found is not None
    other = {
        name: value + 1 if name.endswith("bias") else value for name, value in found[1].items()
    }
    checkpoints.drop(store, folder, "epoch", 1)
    checkpoints.publish(
        store, folder, "epoch", 1, other
    )  # the artifacts were lost, and made anew on another machine
    out = export(DENSE.key, bare, again=True, out=tmp_path / "out")
    assert compare(original(study, DENSE, 0), load_pruned(out), (1, 8, 8)) == 0


def test_a_damaged_kept_network_is_made_again(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    shutil.copytree(study, folder)
    (path,) = (folder / "networks" / SLIM.key).glob("level-*.pt")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="does not match its checksum"):
        out = export(SLIM.key, folder, again=True, out=tmp_path / "out")
    assert compare(original(study, SLIM), load_pruned(out), (1, 8, 8)) == 0
    export(SLIM.key, folder, out=tmp_path / "second")  # it is kept again


def test_a_network_that_came_out_otherwise_is_exported_with_its_own_numbers(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(study, folder)
    row = {
        **read_row(study, MASKED),
        "digest": "0123456789abcdef",
        "test_top1": 99.99,
    }  # as another machine has it
    (folder / f"rows/{MASKED.key}.parquet").write_bytes(parquet_tables.encode("rows", [row]))
    card = (export(MASKED.key, folder, out=tmp_path / "out") / "README.md").read_text()
    assert "was trained again" in card and "has 99.99 % test top-1 for the first one" in card
    assert told(card)["test top-1"] == f"{read_row(study, MASKED)['test_top1']:.2f} %"


def test_a_trial_whose_dense_weights_are_gone_says_so(bare: Path, tmp_path: Path) -> None:
    shutil.rmtree(bare / "artifacts")
    with pytest.raises(
        UserError, match="cannot be trained again: .* holds no valid weights of epoch 1"
    ):
        export(MASKED.key, bare, again=True, out=tmp_path / "out")


def test_the_data_of_a_study_are_found_again(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    assert choice.read_data_dir(store) is None
    store.write("study.yaml", b"name: x\ndata_dir: /some/where\n")
    assert choice.read_data_dir(store) == "/some/where"
    store.write("study.yaml", b"{")
    assert choice.read_data_dir(store) is None


def test_a_trial_is_told_from_its_rows(study: Path, open_trial: Callable[..., Trial]) -> None:
    for spec in (DENSE, MASKED, SLIM, TICKETS):
        rows = choice.read_rows(Store.at(study), spec.key)
        assert choice.read_spec(rows, {}) == spec
    rows[0]["seed"] = 5
    with pytest.raises(
        UserError, match="are those of .*seed5-.* today: the project has changed since"
    ):
        choice.read_spec(rows, {})


def test_help_does_not_import_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys\nfrom trainables.export import main\n"
        "assert main(['x', '--study', 'nowhere']) == 2\nassert 'torch' not in sys.modules"
    )
    root = Path(module.__file__).parent.parent
    subprocess.run(
        [sys.executable, "-c", code], cwd=root, check=True, stderr=subprocess.DEVNULL, timeout=120
    )
