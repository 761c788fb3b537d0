"""The report that is kept current, and where the live view is drawn: a log file gets plain lines.

Covers: sweeps/live_view/watch.py, sweeps/live_view/report_process.py.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.live_view import watch
from sweeps.running.snapshot import Snapshot
from sweeps.study_file.study_fields import Resources
from trainables.storage.store import Store

ROOT = Path(__file__).resolve().parents[3]
CONTROL = re.compile(rb"[^\n\t\x20-\x7e\x80-\xff]")


@pytest.mark.parametrize(
    ("terminal", "name", "drawable"),
    [(True, "xterm", True), (True, "dumb", False), (True, "", False), (False, "xterm", False)],
)
def test_only_a_terminal_is_drawn_on(
    terminal: bool, name: str, drawable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    monkeypatch.setenv("TERM", name)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert watch.is_drawable() == drawable


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def test_the_process_of_the_report_ends_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(
        "import os\n"
        "from sweeps.live_view.report_process import main\n"
        "print(os.getpid(), file=open('pid', 'w'), flush=True)\n"
        "main('sleeper')\n"
    )
    (tmp_path / "sleeper.py").write_text("import time; time.sleep(600)\n")
    code = f"""
import sys, time; sys.path[:0] = [{str(ROOT)!r}]
from sweeps.live_view import watch
from trainables.storage.store import Store
watch.REPORT_MODULE = "child"
with watch.keep_report_current(Store.at(".")):
    time.sleep(600)
"""
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}  # the current folder is not on the path
    driver = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=env)
    try:
        wait_for(
            lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip() != ""
        )
        child = int((tmp_path / "pid").read_text())
        assert alive(child)
    finally:
        driver.kill()
        driver.wait()
    wait_for(lambda: not alive(child))


def test_a_report_that_cannot_be_made_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with watch.keep_report_current(Store.at(tmp_path)):
        pass
    watch.write_report(Store.at(tmp_path))
    printed = capsys.readouterr().out
    assert (
        printed.startswith("warning: the report was not made: error: ") and printed.count("\n") == 1
    )


def test_without_a_terminal_there_is_no_live_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    stands = lambda: Snapshot(0, 1, 0)  # noqa: E731
    with watch.watch_run(
        "x", Store.at(tmp_path), Resources(), snapshot=stands, name=lambda key, spec: key
    ) as view:
        assert view is None


@pytest.mark.usefixtures("one_worker")
@pytest.mark.slow  # a short study on Ray, and its report
def test_a_watched_study_writes_plain_lines_into_a_log_and_is_told_as_json(tmp_path: Path) -> None:
    words = [
        "--preset",
        "digits",
        "--methods",
        "random",
        "--sparsities",
        "0.5",
        "--seeds",
        "0",
        "--out",
        "out",
    ]
    words += [
        "--set",
        "recipe.epochs=1",
        "--set",
        "retrain.epochs=1",
        "--address",
        "local",
        "--watch",
        "--json",
    ]
    done = subprocess.run(
        [sys.executable, str(ROOT / "sweeps/full_study.py"), *words],
        cwd=tmp_path,
        capture_output=True,
        timeout=240,
        env={**os.environ, "FORCE_COLOR": "1", "TERM": "xterm"},
    )
    assert done.returncode == 0, done.stderr
    assert not CONTROL.search(done.stderr) and not CONTROL.search(done.stdout)
    printed = json.loads(done.stdout)
    assert (
        printed["exit_code"] == 0
        and printed["done"] == printed["trials"] == 3
        and printed["failed"] == {}
    )
    assert b"[3/3] " in done.stderr and (tmp_path / "out/report/report.html").exists()
