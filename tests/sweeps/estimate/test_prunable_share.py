"""The share of the parameters that sparsities are of, as the dry run prints it."""

from typing import Any

import pytest

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
        {"model": "tests.networks_of_all_kinds:recurrent"},
        {"model": "mlp", "exclude": ["last"]},
    ]
    assert describe_prunable_shares(build_study({**RAW, "also": also}, where="x")) == [
        "prunable: 77,072 of the 77,754 parameters (99.1 %) of resnet8 on digits",
        "prunable: 2,796 of the 3,044 parameters (91.9 %) of "
        "tests.networks_of_all_kinds:recurrent on digits",
        "prunable: 49,200 of the 50,610 parameters (97.2 %) of mlp on digits, without last",
    ]


def test_the_dry_run_says_it(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--preset", "digits", "--methods", "random", "--set", "exclude=[first, last]"]
    assert full_study.main([*words, "--dry-run"]) == 0
    assert "of resnet8 on digits, without first, last" in capsys.readouterr().out
