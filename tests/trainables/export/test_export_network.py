"""Exporting one network: which form and level, what is refused, and that nothing wrong is written.

Covers: trainables/export/export_network.py, trainables/export/formats.py.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pruning.masks import prunable
from pruning.user_error import UserError
from tests.trainables.export.small_study import MASKED, SLIM, TICKETS, read_row
from trainables.export import (
    export,
    export_config,
    exported_folder,
    formats,
    load_pruned,
)


def test_the_slim_form_is_the_default_where_channels_went(exported: Callable[..., Path]) -> None:
    assert export_config.read_config(exported(SLIM)).form == "slim"
    assert export_config.read_config(exported(MASKED)).form == "dense"


def test_every_level_can_be_exported(study: Path, tmp_path: Path) -> None:
    for level in (1, 2):
        out = export(TICKETS.key, study, level=level, out=tmp_path / str(level))
        weights = prunable(load_pruned(out)).values()
        zeros = sum(int((weight == 0).sum()) for weight in weights) / sum(
            weight.numel() for weight in weights
        )
        assert zeros == pytest.approx(read_row(study, TICKETS, level)["sparsity_reached"], abs=1e-9)
    last = export(TICKETS.key, study, out=tmp_path / "last")
    assert json.loads((last / "config.json").read_text())["level"] == 2


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
        UserError, match="config.json' is no config of an exported network: model: must be a text"
    ):
        load_pruned(tmp_path)
    monkeypatch.setattr(
        formats, "find_spec", lambda name: None if name == "onnxruntime" else object()
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
    load = exported_folder.load_network

    def load_spoilt(path: Path) -> torch.nn.Module:
        network = load(path)
        network.fc.bias.data[3] += 1e-3  # type: ignore[union-attr,operator]
        return network

    monkeypatch.setattr(exported_folder, "load_network", load_spoilt)
    with pytest.raises(UserError, match=r"outputs differ by \d\.\de-0\d, more than 1e-05"):
        export(MASKED.key, study, out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
