"""The live view: what it shows, what becomes of the terminal, and that a log file gets plain lines.
"""

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from sweeps.live_view import watch
from sweeps.live_view.terminal_view import Live
from sweeps.running.snapshot import Look
from sweeps.study_file.study import Resources
from trainables.storage import parquet_tables
from trainables.storage.store import Store
from trainables.training.recipe import Recipe
from trainables.trial_spec import TrialSpec

ROOT = Path(__file__).resolve().parents[3]
CONTROL = re.compile(rb"[^\n\t\x20-\x7e\x80-\xff]")


def spec(method: str = "synflow", sparsity: float = 0.5, seed: int = 0) -> dict[str, Any]:
    made = TrialSpec(
        dataset="digits", model="resnet8", method=method, sparsities=(sparsity,), seed=seed
    )
    return made.model_dump()


def rows(loss: float, top1: float) -> list[dict[str, Any]]:
    return [
        {"split": "train", "loss": loss, "top1": 60.0},
        {"split": "validation", "loss": 9.0, "top1": top1},
    ]


def level(sparsity: float, validation: float | None, test: float = 1.0) -> dict[str, Any]:
    return {
        "level": 1,
        "stage": "final",
        "sparsity": sparsity,
        "val_top1": validation,
        "test_top1": test,
    }


@pytest.fixture
def look() -> list[Look]:
    return [Look(3, 10, 1, eta=90.0, spent="2.00 T4 hours")]


@pytest.fixture
def live(look: list[Look]) -> Live:
    console = Console(
        file=io.StringIO(), width=110, height=40, force_terminal=True, highlight=False
    )
    return Live(
        "study x", look=lambda: look[-1], name=lambda key, spec: spec["method"], slots=lambda: (4, "4 CPUs on 1 node"),
        total=lambda key: 12, footer=["report: here"], console=console,
    )  # fmt: skip


def shown(live: Live, *, styled: bool = False) -> str:
    console = Console(
        file=io.StringIO(), width=110, height=40, record=True, force_terminal=True, highlight=False
    )
    console.print(live.render())
    return console.export_text(styles=styled)


def test_a_trial_shows_where_it_is_until_it_ends(live: Live) -> None:
    live.started("a", spec(seed=7))
    assert re.search(r"synflow +0.5 +7 +starting +0 s", shown(live))
    live.moved(
        "a", {"epochs": 5, "label": "train epoch 6/12", "level": 2, "curve": rows(0.4321, 77.125)}
    )
    assert re.search(r"synflow +0.5 +7 +train epoch 6/12 +2 +5/12 +0.432 +77.12 +0 s", shown(live))
    live.left("a")
    assert "synflow" not in shown(live)


@pytest.mark.parametrize("width", [60, 80, 108, 200])
def test_no_number_is_cut_short_on_a_narrow_terminal(live: Live, width: int) -> None:
    live.console.width = width
    live.started("a", spec("lottery_ticket (levels=sparsities, rate=0.6)" * 2))
    live.moved(
        "a", {"epochs": 5, "label": "train epoch 6/12", "level": 2, "curve": rows(0.4321, 77.125)}
    )
    console = Console(file=io.StringIO(), width=width, height=40, record=True)
    console.print(live.render())
    told = console.export_text()
    assert (
        " 77.12 " in told
        and "0 s" in told
        and "sparsity" in told
        and max(map(len, told.splitlines())) <= width
    )
    assert ("0.432" in told) == (width >= 100)


def test_the_head_counts(live: Live, look: list[Look]) -> None:
    live.started("a", spec())
    told = shown(live)
    assert (
        "study x   2 done, 1 running, 1 failed, 6 left   0 s so far, about 90 s to go\n"
        in told.replace(" \n", "\n")
    )
    assert "1 of 4 places for trials in use; the cluster has 4 CPUs on 1 node" in told
    assert "spent: 2.00 T4 hours" in told and "report: here" in told
    look.append(Look(5, None, 0))
    live.failed("a", "E")
    assert re.search(r"5 done, 0 running, 0 failed +0 s so far *\n", shown(live))


def test_accuracies_are_means_over_seeds_of_the_validation_split_where_all_have_one(
    live: Live,
) -> None:
    for seed, value in enumerate((80.0, 90.0)):
        live.started(f"a{seed}", spec(seed=seed))
        live.done(
            f"a{seed}", {"levels": [level(0.5, value + 9), level(0.5, value)]}
        )  # the last stage counts
    live.started("b", spec("magnitude"))
    live.done("b", {"levels": [level(0.5, 84.0), level(0.9, 70.0)]})
    told = shown(live)
    assert "validation top-1 in %, mean so far (1 to 2 seeds), best at a sparsity in bold" in told
    assert re.search(r"magnitude +84.00 +70.00", told) and re.search(r"synflow +85.00", told)
    assert told.index("magnitude") < told.index("synflow"), (
        "the best at the highest sparsity comes first"
    )
    styled = shown(live, styled=True)
    assert (
        "\x1b[1m85.00" in styled and "\x1b[1m84.00" not in styled and "\x1b[1m70.00" not in styled
    )
    live.started("c", spec("random"))
    live.done("c", {"levels": [level(0.5, None, 55.0)]})
    assert "test top-1 in %" in shown(live) and "84.00" not in shown(live)


def planned(**specs: dict[str, Any]) -> Any:
    """What the view reads of a plan with these trials."""
    return SimpleNamespace(
        by_key={
            key: SimpleNamespace(spec=TrialSpec.model_validate(one)) for key, one in specs.items()
        }
    )


def test_results_of_earlier_launches_are_part_of_the_means(live: Live, tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    for key, of in (("a", "a"), ("b", "other")):  # the second is a file of another trial
        store.write(
            f"rows/{key}.parquet",
            parquet_tables.encode("rows", [{"key": of, "sparsity": 0.5, "val_top1": 66.5}]),
        )
    live.learn_rows(store, planned(a=spec(), b=spec("magnitude"), c=spec()), ["a", "b", "c"])
    assert re.search(r"synflow +66.50", shown(live)) and "magnitude" not in shown(live)


def test_a_trial_that_runs_again_counts_once(live: Live) -> None:
    for value in (60.0, 80.0):
        live.started("a", spec())
        live.done("a", {"levels": [level(0.5, value)]})
    assert "(1 seed)" in shown(live) and re.search(r"synflow +80.00", shown(live))


def test_each_setting_of_a_study_has_its_own_means(live: Live, tmp_path: Path) -> None:
    longer = {"recipe": Recipe(epochs=200)}
    specs = {
        "a": spec(),
        "b": spec() | {"dataset": "mnist"},
        "c": spec() | longer,
        "d": spec("magnitude") | longer,
    }
    live.learn_rows(Store.at(tmp_path), planned(**specs), [])
    for key, one in specs.items():
        live.started(key, one)
    assert re.search(r"synflow, mnist resnet8 +0.5 +0 +starting", shown(live))
    for value, key in enumerate(specs, 60):
        live.done(key, {"levels": [level(0.5, float(value))]})
    told = [" ".join(line.split()) for line in shown(live, styled=False).splitlines()]
    begin = told.index("at sparsity 0.5") + 1
    assert told[begin : begin + 7] == [
        "digits resnet8 {}", "synflow 60.00", "mnist resnet8", "synflow 61.00",
        'digits resnet8 {"epochs": 200}', "magnitude 63.00", "synflow 62.00",
    ]  # fmt: skip
    assert "(1 seed)" in shown(live)
    bold = re.findall(r"\x1b\[1m(\d+\.\d+)", shown(live, styled=True))
    assert bold == ["63.00"], "only within a setting one is the best"


def test_headings_of_settings_leave_the_view_in_the_terminal(live: Live, tmp_path: Path) -> None:
    specs = {f"{d}{m}": spec(f"m{m}") | {"dataset": f"d{d}"} for d in range(9) for m in range(9)}
    live.learn_rows(Store.at(tmp_path), planned(**specs), [])
    for key, one in specs.items():
        live.learn(key, one, [level(0.5, 50.0)])
    for rows in range(2, 40):
        drawn = live._means.draw(rows)
        assert drawn and 2 <= drawn[1].row_count - 1 <= rows, "one row says how many more there are"


@pytest.mark.parametrize("height", [24, 40, 80])
def test_the_view_fits_the_terminal(live: Live, height: int) -> None:
    live.console.height = height
    for number in range(100):
        live.started(str(number), spec(f"m{number}"))
        live.learn(str(number), spec(f"m{number}"), [level(0.5, 1.0 * number)])
    told = shown(live)
    assert (
        height - 8 <= len(told.splitlines()) < height
        and re.search(r"and \d+ more", told)
        and "report: here" in told
    )


def test_names_cannot_steer_the_terminal_or_the_markup(live: Live) -> None:
    live.started("a", spec("[red]x[/]"))
    assert "[red]x[/]" in shown(live)


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


def in_terminal(
    code: str, *, sends: bytes = b"", when: bytes = b"", **env: str
) -> tuple[int, bytes]:
    """Run Python code in a terminal of its own; type `sends` once `when` is seen. The exit code and
    all it wrote."""
    pid, terminal = pty.fork()
    if not pid:
        signal.signal(
            signal.SIGINT, signal.SIG_DFL
        )  # ignored, and so inherited, where a shell runs us in the background
        os.execve(
            sys.executable,
            [sys.executable, "-c", code],
            {**os.environ, "TERM": "xterm-256color", **env},
        )
    told, until = b"", time.monotonic() + 60
    while time.monotonic() < until:
        if select.select([terminal], [], [], 1)[0]:
            try:
                told += os.read(terminal, 65536)
            except OSError:
                break
            if sends and when in told:
                os.write(terminal, sends)
                sends = b""
    else:
        os.kill(pid, signal.SIGKILL)
    code_of = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    return code_of, told


DRAW = f"""
import sys, time; sys.path[:0] = [{str(ROOT)!r}]
from sweeps.live_view.terminal_view import Live
from sweeps.running.snapshot import Look
try:
    with Live("study x", look=lambda: Look(1, 2, 0), name=lambda key, spec: key):
        print("a line with [red]markup[/] and " + "words " * 40, flush=True)
        time.sleep(5)
except KeyboardInterrupt:
    print("the end")
    sys.exit(130)
"""


def test_ctrl_c_leaves_the_terminal_as_it_was() -> None:
    code, told = in_terminal(DRAW, sends=b"\x03", when=b"markup")
    assert code == 130 and told.rstrip().endswith(b"the end")
    assert told.count(b"\x1b[?25l") == told.count(b"\x1b[?25h") == 1, "the cursor is there again"
    assert b"[red]markup[/]" in told, "lines are printed as they are"


def test_no_color_is_heeded() -> None:
    colour = re.compile(rb"\x1b\[[0-9;]*[34]8?;?[0-9]")
    _, with_colour = in_terminal(DRAW, sends=b"\x03", when=b"study x")
    _, without = in_terminal(DRAW, sends=b"\x03", when=b"study x", NO_COLOR="1")
    assert colour.search(with_colour) and not colour.search(without)


def test_a_watcher_that_fails_is_one_warning_and_told_no_more(
    live: Live, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sweeps.planning.plan import Plan
    from sweeps.running.progress import Progress
    from sweeps.running.run import Report
    from sweeps.running.worker_failures import Losses

    live.look = lambda: 1 // 0  # type: ignore[assignment,return-value]
    other = SimpleNamespace(
        started=lambda key, spec: heard.append(key), moved=lambda key, result: heard.append(key)
    )
    heard: list[str] = []
    progress = Progress({"a": "a"}, {"a": 1})
    report = Report(progress, Plan(()), (), Store.at(tmp_path), Losses(), [live, other])  # type: ignore[list-item]
    trial = SimpleNamespace(trial_id="t", config={"key": "a", "spec": spec()})
    report.on_trial_start(0, [], trial)
    report.on_trial_result(0, [], trial, {"epochs": 1})
    told = capsys.readouterr().out
    assert (
        told.count("\n") == 1
        and told.startswith("warning: Live: ZeroDivisionError: ")
        and heard == ["a", "a"]
    )


# The report that is kept current


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
    code = f"""
import sys, time; sys.path[:0] = [{str(ROOT)!r}]
from sweeps.watching import view
from trainables.storage.store import Store
view.CHILD = "import os; print(os.getpid(), file=open('pid', 'w'))" + view.CHILD.replace(
    'runpy.run_module("analysis", run_name="__main__")', "import time; time.sleep(600)")
with view.reporting(Store.at(".")):
    time.sleep(600)
"""
    driver = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
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
    with watch.reporting(Store.at(tmp_path)):
        pass
    watch.write_report(Store.at(tmp_path))
    told = capsys.readouterr().out
    assert told.startswith("warning: the report was not made: error: ") and told.count("\n") == 1


def test_without_a_terminal_there_is_no_live_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    look = lambda: Look(0, 1, 0)  # noqa: E731
    with watch.view(
        "x", Store.at(tmp_path), Resources(), look=look, name=lambda key, spec: key
    ) as live:
        assert live is None


@pytest.mark.slow  # two short studies on Ray, and their reports
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
        cwd=tmp_path, capture_output=True, timeout=240, env={**os.environ, "FORCE_COLOR": "1", "TERM": "xterm"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not CONTROL.search(done.stderr) and not CONTROL.search(done.stdout)
    import json

    told = json.loads(done.stdout)
    assert told["exit_code"] == 0 and told["done"] == told["trials"] == 3 and told["failed"] == {}
    assert b"[3/3] " in done.stderr and (tmp_path / "out/report/report.html").exists()
