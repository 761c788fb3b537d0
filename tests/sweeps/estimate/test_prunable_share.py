"""The share of the parameters that sparsities are of, as the dry run prints it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pruning.user_error import UserError
from sweeps import full_study
from sweeps.estimate.prunable_share import describe_prunable_shares
from sweeps.study_file.study import build_study

RAW: dict[str, Any] = {
    "name": "shares",
    "dataset": "digits",
    "model": "resnet8",
    "methods": ["random"],
    "sparsities": [0.5],
    "seeds": [0],
}


def test_each_setting_has_a_line_and_excluded_layers_do_not_count() -> None:
    also = [
        {"model": "tests.networks.architectures:recurrent"},
        {"model": "mlp", "exclude": ["last"]},
    ]
    assert describe_prunable_shares(build_study({**RAW, "also": also}, where="x")) == [
        "prunable: 77,072 of the 77,754 parameters (99.1 %) of resnet8 on digits",
        "prunable: 2,796 of the 3,044 parameters (91.9 %) of "
        "tests.networks.architectures:recurrent on digits",
        "prunable: 49,200 of the 50,610 parameters (97.2 %) of mlp on digits, without last",
    ]


def test_where_few_parameters_can_be_pruned_the_line_says_what_is_left() -> None:
    raw = {**RAW, "sparsities": [0.5, 0.9], "exclude": ["stages.2.*"]}
    (line,) = describe_prunable_shares(build_study(raw, where="x"))
    assert line == (
        "prunable: 19,728 of the 77,754 parameters (25.4 %) of resnet8 on digits, without "
        "stages.2.*; sparsity 0.9, which is of these, leaves 77.2 % of all"
    )


def test_a_network_that_cannot_be_pruned_may_be_trained(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    raw = {**RAW, "methods": ["dense"], "model": "tests.networks.weights:weight_norm"}
    assert describe_prunable_shares(build_study(raw, where="x")) == []
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(raw))
    words = ["--study", str(tmp_path / "study.yaml"), "--out", str(tmp_path / "out")]
    assert full_study.main([*words, "--dry-run"]) == 0
    assert "prunable" not in capsys.readouterr().out
    with pytest.raises(UserError, match=r"cannot prune layer '2' \(Conv2d\)"):
        describe_prunable_shares(build_study({**raw, "methods": ["random"]}, where="x"))


def test_the_dry_run_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--preset", "digits", "--methods", "random", "--set", "exclude=[first, last]"]
    assert full_study.main([*words, "--out", str(tmp_path / "out"), "--dry-run"]) == 0
    assert "of resnet8 on digits, without first, last" in capsys.readouterr().out
