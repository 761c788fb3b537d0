"""A whole study on a vision transformer, Swin and ConvNeXt, from the command line: rows, saved
networks, export and latency."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from pruning.masks import kept_count, prunable
from sweeps.planning.plan import make_plan
from sweeps.study_file.study import build_study
from tests.sweeps.test_full_study import ROOT, finish, start
from trainables.export import command
from trainables.export.export_network import load_pruned
from trainables.saved_networks import find_saved_network
from trainables.storage import parquet_tables
from trainables.storage.store import Store

torch.set_num_threads(1)

KINDS = ["vit", "swin", "convnext"]
STUDY: dict[str, Any] = {
    "name": "library",
    "dataset": "digits",
    "model": "tests.networks.transformers:vit",
    "also": [{"model": f"tests.networks.transformers:{kind}"} for kind in KINDS[1:]],
    "recipe": {"epochs": 1, "batch": 300, "lr": 0.01, "augment": "none", "precision": "fp32"},
    "retrain": {"epochs": 1},
    "methods": ["magnitude", "l1_filter"],
    "sparsities": [0.5],
    "seeds": [0],
    "keep_networks": "all",
}


def export(folder: Path, key: str, to: str) -> Path:
    """The folder that the command line has written."""
    words = [key, "--study", str(folder / "out"), "--to", to, "--out", str(folder / to / key)]
    assert command.main(words) == 0
    return folder / to / key


@pytest.mark.slow
@pytest.mark.usefixtures("one_worker")
def test_rows_networks_exports_and_latencies_agree(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    plan = make_plan(build_study(STUDY, where="test"))
    code, told = finish(start(tmp_path, "--measure", PYTHONPATH=str(ROOT)), 900)
    assert code == 0, told
    store = Store.at(tmp_path / "out")
    assert len(plan.trials) == 9
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for key, trial in plan.by_key.items():
        (row,) = parquet_tables.decode_table("rows", store.read(f"rows/{key}.parquet")).to_pylist()
        assert row["connected"]
        saved = find_saved_network(store, key, row["level"], row["digest"])
        assert saved is not None
        network = saved.rebuild()
        assert sum(p.numel() for p in network.parameters()) == row["params"]
        zeros = sum(int((weight == 0).sum()) for weight in prunable(network).values())
        if trial.spec.method == "magnitude":
            assert zeros == row["zeros"] == row["prunable"] - kept_count(0.5, row["prunable"])
        if trial.spec.method == "l1_filter":
            dense = row["compression"] * row["nonzero"]
            assert row["params"] < 0.75 * dense and row["sparsity_reached"] > 0.25
        times = store.read(f"latency/{key}.parquet")
        assert times
        if trial.spec.method == "dense":
            continue
        loaded = load_pruned(export(tmp_path, key, "safetensors"))
        with torch.no_grad():
            expected = network(x)
            torch.testing.assert_close(loaded(x), expected)
        if trial.spec.method == "magnitude":  # the same graph as that of the dense network
            continue
        (file,) = export(tmp_path, key, "onnx").glob("*.onnx")
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        (answer,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        np.testing.assert_allclose(answer, expected.numpy(), rtol=1e-3, atol=1e-4)
