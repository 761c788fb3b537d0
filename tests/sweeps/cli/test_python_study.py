"""A study from Python: the same plan, directory and runs as those of the command line.

A whole run is in tests/test_in_your_own_code.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from pruning.user_error import UserError
from sweeps import Study
from sweeps.cli import python_study
from sweeps.cli.exit_codes import INTERRUPTED, STOPPED
from sweeps.cli.python_study import StudyEnd
from sweeps.full_study import main
from sweeps.study_file.study import StudySpec

ROOT = Path(__file__).resolve().parents[3]
FIELDS: dict[str, Any] = {
    "name": "small",
    "dataset": "digits",
    "model": "resnet8",
    "recipe": {"epochs": 2, "lr": 0.05},
    "retrain": {"epochs": 1},
    "methods": ["magnitude", {"synflow": {"iterations": 5}}],
    "sparsities": [0.5, 0.9],
    "seeds": [0, 1],
}


def test_keywords_and_a_file_are_the_study_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(yaml.safe_dump(FIELDS))
    studies = [Study(**FIELDS), Study.from_yaml("small.yaml")]
    assert main(["--study", "small.yaml", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    for study in studies:
        plan = study.plan()
        assert f"{plan}\n" == shown and repr(study).endswith(f"10 trials in {study.directory}")
        assert study.directory == str(Path("studies", "small").absolute())
    trials = studies[0].plan().trials
    assert len(trials) == 10 and not trials["done"].any()
    assert set(trials["key"]) == {trial.key for trial in studies[1].planned.trials}
    assert trials.groupby("method")["sparsity"].max().to_dict() == {
        "dense": 0.0, "magnitude": 0.9, "synflow": 0.9,
    }  # fmt: skip
    assert json.loads(trials.query("method == 'synflow'")["knobs"].iloc[0]) == {"iterations": 5}
    assert not Path("studies").exists(), "to plan writes nothing"


def test_fields_replace_those_of_a_file_and_of_a_preset(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(FIELDS))
    changed = Study.from_yaml(file, out=tmp_path / "there", seeds=[7], name="other")
    assert changed.name == "other" and changed.directory == str(tmp_path / "there")
    assert {trial.spec.seed for trial in changed.planned.trials} == {7}
    preset = Study.from_preset("digits", out=tmp_path / "digits", sparsities=[0.25])
    assert preset.spec.sparsities == [0.25] and preset.spec.dataset == "digits"
    assert Study(**{**FIELDS, "data_dir": "."}).spec.data_dir == str(Path.cwd())


def test_what_a_script_has_at_hand_is_taken(tmp_path: Path) -> None:
    import numpy as np

    fields = {**FIELDS, "sparsities": np.array([0.5, 0.75]), "seeds": range(2)}
    study = Study(**{**fields, "data_dir": tmp_path}, out=tmp_path / "study")
    assert study.spec.sparsities == [0.5, 0.75] and study.spec.seeds == [0, 1]
    assert study.spec.data_dir == str(tmp_path)
    one = Study(**{**fields, "seeds": (np.int64(7),), "recipe": {"epochs": np.int64(1)}})
    assert one.spec.seeds == [7] and one.spec.recipe.epochs == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sparsities": [1.2]}, "sparsity must be in"),
        ({"metods": ["a"]}, "study: unknown key 'metods'; did you mean 'methods'?"),
        ({"model": "resnet9"}, "no model 'resnet9'"),
        ({"out": "ftp://there"}, "--out"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        Study(**{**FIELDS, **fields})


def test_a_directory_of_another_study_is_refused(tmp_path: Path) -> None:
    other = StudySpec.model_validate({**FIELDS, "model": "mlp"})
    (tmp_path / "study.yaml").write_text(other.model_dump_json())
    with pytest.raises(UserError, match="mlp"):
        Study(**FIELDS, out=tmp_path)


@pytest.mark.parametrize(
    ("code", "end"), [(INTERRUPTED, "interrupted"), (STOPPED, "stopped"), (0, "done")]
)
def test_a_run_says_how_it_ended_and_takes_the_options_of_the_command(
    code: int, end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def run_study(spec: Any, plan: Any, store: Any, how: Any, invocation: Any) -> int:
        seen.extend([how, invocation.command_to_continue("--retry-failed")])
        invocation.output.update(
            trials=3, done=1, missing=2, failed={}, not_run={}, spent="", study="s", directory="d"
        )
        return code

    monkeypatch.setattr(python_study, "run_study", run_study)
    found = Study(**FIELDS, out=tmp_path).run(address="a", log="mlflow", retry_failed=True)
    assert found == StudyEnd(end, 3, 1, 2, {}, {}, "")
    assert seen[1] == "study.run(retry_failed=True)"
    assert (seen[0].address, seen[0].log, seen[0].retry_failed) == ("a", "mlflow", True)


SCRIPT = """
import signal

from sweeps import Study

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started this

study = Study.from_yaml("small.yaml")
print("end:", study.run(address="local").end, flush=True)
"""


@pytest.mark.usefixtures("one_worker")
@pytest.mark.slow
def test_ctrl_c_saves_checkpoints_and_says_how_to_go_on(tmp_path: Path) -> None:
    fields = {
        **FIELDS,
        "recipe": {"epochs": 60, "lr": 0.05, "precision": "fp32"},
        "methods": ["magnitude"],
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump({**fields, "seeds": [0]}))
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = subprocess.Popen(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert running.stdout is not None
    for line in running.stdout:
        if "training in" in line:
            break
    time.sleep(1)
    running.send_signal(signal.SIGINT)
    output, _ = running.communicate(timeout=600)
    assert "end: interrupted" in output and "continue with: study.run()" in output
    assert list((tmp_path / "studies/small/checkpoints").rglob("*.pt"))
