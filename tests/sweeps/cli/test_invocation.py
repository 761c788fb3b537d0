"""The command line that continues a call of a command.

Covers: sweeps/cli/exit_codes.py.
"""

import sys
from pathlib import Path

import pytest

from sweeps import full_study
from sweeps.cli import exit_codes
from sweeps.cli.invocation import Invocation
from sweeps.estimate.packing import Packing
from sweeps.study_file.study_fields import Resources


def test_it_is_the_same_command_without_what_must_happen_only_once() -> None:
    call = Invocation.of(["--study", "my study.yaml", "--fresh", "--retry-failed", "--watch"])
    assert call.command_to_continue().endswith(" --study 'my study.yaml' --watch")
    assert call.command_to_continue("--retry-failed").endswith(" --watch --retry-failed")


def test_without_arguments_it_is_the_command_of_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["sweeps/full_study.py", "--preset", "digits"])
    again = Invocation.of(None).command_to_continue()
    assert again == "python sweeps/full_study.py --preset digits"


def test_from_a_notebook_it_is_the_commands_own_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/lib/ipykernel_launcher.py", "-f", "kernel.json"])
    call = Invocation.of(["--preset", "digits"], script="full_study.py")
    script = Path(full_study.__file__).resolve()
    assert call.command_to_continue() == f"python {script} --preset digits"
    monkeypatch.setattr(sys, "argv", ["sweeps/full_study.py", "--preset", "digits"])
    again = Invocation.of(None, script="full_study.py").command_to_continue()
    assert again == "python sweeps/full_study.py --preset digits"


def test_an_option_is_replaced_in_its_place_or_appended() -> None:
    call = Invocation("x.py", ["--tune-packing", "--watch"])
    call.replace_option("--tune-packing", ["--cpus-per-trial", "2"])
    assert call.command_to_continue() == "python x.py --cpus-per-trial 2 --watch"
    call.replace_option("--other", ["--log", "wandb"])
    assert call.words[-2:] == ["--log", "wandb"]


def test_a_part_writes_into_the_output_of_the_whole() -> None:
    call = Invocation("x.py", [])
    call.part("confirmed").output["done"] = 3
    assert call.output == {"confirmed": {"done": 3}}


def test_a_study_that_was_packed_continues_with_the_same_packing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The number of threads can change a result in its last bits. sys.argv stays as it was."""

    def interrupt(*given: object) -> int:
        raise KeyboardInterrupt

    packing = Packing(2, Resources(cpus_per_trial=3))
    monkeypatch.setattr("sweeps.estimate.packing.tune_packing", lambda *given, **named: packing)
    monkeypatch.setattr("sweeps.cli.study_command.run_study", interrupt)
    before = list(sys.argv)
    words = ["--preset", "digits", "--tune-packing", "--out", str(tmp_path)]
    assert full_study.main(words) == exit_codes.INTERRUPTED
    line = f"--preset digits --cpus-per-trial 3 --out {tmp_path}"
    assert capsys.readouterr().err.endswith(f"{line}\n") and sys.argv == before
