"""The catalogue of errors, `errors.yaml`: what a user did or met, and the very line it must
produce.

A case has `what` was done, the command that `run`, the `files` that lie there, what is `broken`
(see `broken.py`), the line that it `says` on stderr, or `tells` on stdout, and its `exit` code, 2
where none is given; and where it is a trouble of docs/running.md, which one, and which of its
`messages` it brings about. The folder that it runs in is written as /here. Where a command takes
`--json`, every case runs with it, too.
"""

import io
import json
import os
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.broken import BROKEN
from tests.troubles import check_trouble

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {
    "study": "sweeps/full_study.py",
    "search": "sweeps/synflow_search.py",
    "replicate": "sweeps/replicate.py",
}
CATALOGUE: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    (ROOT / "tests" / "errors.yaml").read_text()
)
CASES = [case for cases in CATALOGUE.values() for case in cases]


def run(command: str, *words: str) -> tuple[int, str, str]:
    """The exit code of a command in this process, and what it printed to stdout and stderr."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            if command in COMMANDS:
                sys.argv = [COMMANDS[command], *words]
                runpy.run_path(str(ROOT / COMMANDS[command]), run_name="__main__")
            from analysis.__main__ import main as analyse
            from trainables.export.command import main as export

            code = {"analysis": analyse, "export": export}[command](list(words))
        except SystemExit as end:
            code = int(end.code or 0)
    return code, out.getvalue(), err.getvalue()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: empty, and on the path as for a user; nothing in it can start Ray."""
    import ray

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["-"])
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(ray, "init", refuse)
    # The real one ends the process itself where it has used Ray.
    monkeypatch.setattr("sweeps.running.deadline.run_to_exit", lambda main: sys.exit(main()))
    monkeypatch.setattr("sweeps.running.lease.SETTLE", 0)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return tmp_path


def prepare(case: dict[str, Any], here: Path, patch: pytest.MonkeyPatch) -> list[str]:
    """Put the files of a case into the folder, break what it breaks; the words of its command."""
    for name, content in case.get("files", {}).items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    if "broken" in case:
        BROKEN[case["broken"]](here, patch)
    return [str(word) for word in case["run"].replace("/here", str(here)).split()]


def tell(text: str, here: Path) -> str:
    """What was printed, without what differs from run to run."""
    known = {str(here): "/here", str(ROOT): "/checkout", f"process {os.getpid()} ": "process 1234 "}
    for value, name in known.items():
        text = text.replace(value, name)
    return text


def is_plain(text: str) -> bool:
    """Whether a text has no character that steers a terminal, and no traceback."""
    return all(c.isprintable() or c == "\n" for c in text) and "Traceback" not in text


@pytest.mark.parametrize("case", CASES, ids=[case["what"] for case in CASES])
def test_an_error_is_one_line(
    case: dict[str, Any], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = run(*prepare(case, here, monkeypatch))
    assert is_plain(out) and is_plain(err)
    assert tell(err, here) == (case["says"] + "\n" if "says" in case else "")
    assert "says" in case or case["tells"] in tell(out, here).splitlines()
    assert code == case.get("exit", 2)
    if "trouble" in case:
        check_trouble(case["trouble"], err, *case.get("messages", []))


TOLD = [
    case
    for case in CASES
    if "says" in case and case.get("exit") != 0 and not case["run"].startswith("export")
]


@pytest.mark.parametrize("case", TOLD, ids=[case["what"] for case in TOLD])
def test_for_machines_it_is_one_object(
    case: dict[str, Any], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "python" in case.get("broken", ""):
        pytest.skip("no command line is read by a Python that is too old")
    code, out, err = run(*prepare(case, here, monkeypatch), "--json")
    told = json.loads(out)
    assert (told["exit_code"], code) == (case.get("exit", 2),) * 2
    line = tell(err, here).splitlines()[-1]
    assert line.removesuffix(" --json") == case["says"]
    assert (
        case["says"]
        .removeprefix("error: ")
        .startswith(tell(told["error"], here).removesuffix(" --json"))
    )


def test_the_catalogue_has_each_case_once() -> None:
    assert len(CASES) >= 40
    assert (
        len({case["what"] for case in CASES})
        == len({json.dumps(case, default=repr) for case in CASES})
        == len(CASES)
    )
    assert {case["broken"] for case in CASES if "broken" in case} == set(BROKEN)
    assert {case["run"].split()[0] for case in CASES} == {*COMMANDS, "analysis", "export"}
