"""What machines and shells read: --json, --version, --completion.

Covers: sweeps/cli/json_output.py, sweeps/cli/completion.py, sweeps/cli/listings.py.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pruning import registry
from sweeps import full_study, synflow_search
from sweeps.cli.options import SHELLS
from sweeps.study_file.study_reader import find_study_presets
from trainables.version import version

ROOT = Path(__file__).resolve().parents[3]


def tell(
    capsys: pytest.CaptureFixture[str], *words: str, code: int = 0, main: Any = full_study.main
) -> dict[str, Any]:
    """The one JSON object that a command prints."""
    assert main([*words, "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert found["exit_code"] == code
    return dict(found)


def test_methods_and_presets(capsys: pytest.CaptureFixture[str]) -> None:
    methods = tell(capsys, "--list-methods")["methods"]
    assert [one["name"] for one in methods] == registry.list_methods()
    assert all(
        one["paper"] and one["summary"] and isinstance(one["knobs"], dict) for one in methods
    )
    found = tell(capsys, "--list-presets")["presets"]
    assert [one["name"] for one in found] == list(find_study_presets()) and all(
        Path(one["path"]).is_file() for one in found
    )
    found = tell(capsys, "--list-presets", main=synflow_search.main)["presets"]
    assert "synflow_digits" in [one["name"] for one in found]


def test_lists_for_people_fit_the_terminal_and_name_knobs_with_their_defaults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    for words in ("--list-methods", "--list-presets"):
        assert full_study.main([words]) == 0
        printed = capsys.readouterr().out
        assert max(map(len, printed.splitlines())) <= 70
        names = [line.split()[0] for line in printed.splitlines() if not line.startswith(" ")]
        known = registry.list_methods() if words == "--list-methods" else find_study_presets()
        assert names == list(known)
        if words == "--list-methods":
            assert "random_ticket (control, no part of methods: all)" in printed
            assert "knobs and their defaults: {scope: global, start: 0.0" in printed


def test_a_dry_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = [
        "--preset",
        "digits",
        "--methods",
        "magnitude,random",
        "--out",
        str(tmp_path),
        "--dry-run",
    ]
    words += ["--set", "prices.per_hour.cpu=2", "--set", "retrain.warmup=9"]
    told = tell(capsys, *words)
    (note,) = told["notes"]
    assert note.startswith("retrain: a warm-up of 9 epochs does not come to its end")
    assert (
        told["trials"] == told["missing"] == 39
        and told["done"] == 0
        and told["directory"] == str(tmp_path)
    )
    by_method = {one["method"]: one for one in told["methods"]}
    assert {name: one["trials"] for name, one in by_method.items()} == {
        "dense": 3,
        "magnitude": 12,
        "random": 24,
    }
    assert sum(one["epochs"] for one in told["methods"]) == 396  # as the plan in words says
    (device,) = told["devices"]
    assert device["money"] == pytest.approx(2 * device["hours"]) and device["hours"] > 0
    assert sum(one["hours"]["cpu"] for one in told["methods"]) == pytest.approx(device["hours"])


def test_a_dry_run_of_a_search(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    told = tell(capsys, "--out", str(tmp_path), "--dry-run", main=synflow_search.main)
    assert told["candidates"] == 0 and told["search"] and told["outcomes"] == {}


def test_a_mistake_is_in_the_object_and_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert full_study.main(["--preset", "digit", "--json"]) == 2
    told = capsys.readouterr()
    assert json.loads(told.out) == {
        "error": "no preset 'digit'; did you mean 'digits'?",
        "exit_code": 2,
    }
    assert told.err == "error: no preset 'digit'; did you mean 'digits'?\n"
    with pytest.raises(SystemExit):
        full_study.main(["--sparsity", "0.5", "--nonsense", "--json"])
    told = capsys.readouterr()
    assert "--nonsense" in json.loads(told.out)["error"] and told.err.count("\n") == 1


@pytest.mark.parametrize("main", [full_study.main, synflow_search.main])
def test_the_version_is_that_of_the_project(main: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    text = (ROOT / "pyproject.toml").read_text()
    told = capsys.readouterr().out.split()
    assert told[0].endswith(".py") and f'\nversion = "{told[1]}"\n' in text and told[1] == version()


def script(capsys: pytest.CaptureFixture[str], shell: str) -> str:
    assert full_study.main(["--completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", SHELLS)
def test_a_completion_script_is_one_that_its_shell_reads(
    shell: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = script(capsys, shell)
    assert "preset" in text and "retry" in text and "synflow" in text and "cifar10_small" in text
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    path = tmp_path / "script"
    path.write_text(text if shell != "zsh" else "autoload -U compinit; compinit -u\n" + text)
    words = {"tcsh": ["-f", str(path)]}.get(shell, ["-n", str(path)])
    done = subprocess.run([shell, *words], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
@pytest.mark.parametrize(
    "before", ["sweeps/full_study.py", "python sweeps/full_study.py", "python3 -u full_study.py"]
)
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("--preset digi", ["digits"]),
        ("--methods magnitude,synf", ["magnitude,synflow"]),
        ("--methods lottery_t", ["lottery_ticket"]),
        ("--log mlflow,w", ["mlflow,wandb"]),
        ("--retry", ["--retry-failed"]),
        ("--completion f", ["fish"]),
    ],
)
def test_bash_completes(
    before: str, typed: str, expected: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "script"
    path.write_text(script(capsys, "bash"))
    words = f"{before} {typed}".split()
    function = "_pruning_python" if before.startswith("python") else "_shtab_full_study_py"
    code = f"source {path}; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
    code += f"{function}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == expected, done.stderr


def test_none_of_it_imports_torch_or_ray() -> None:
    check = f"""
import sys; sys.path[:0] = [{str(ROOT)!r}]
from sweeps import full_study
looks = [["--version"], ["--completion", "bash"]]
looks += [["--list-methods", "--json"], ["--list-presets", "--json"]]
for words in looks:
    assert full_study.main(words) == 0
found = {{"torch", "ray", "pandas", "rich", "mlflow", "wandb", "tensorboard"}} & set(sys.modules)
assert not found, found
"""
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60, capture_output=True)
