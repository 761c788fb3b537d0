"""What the live view shows.

Covers: sweeps/live_view/terminal_view.py, sweeps/live_view/running_trials.py,
sweeps/live_view/mean_accuracy.py, sweeps/live_view/setting_names.py.
"""

import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from sweeps.live_view.terminal_view import TerminalView
from sweeps.running.snapshot import Snapshot
from trainables.storage import parquet_tables
from trainables.storage.store import Store
from trainables.training.recipe import Recipe
from trainables.trial_spec import TrialSpec

ROOT = Path(__file__).resolve().parents[3]


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
def stands() -> list[Snapshot]:
    return [Snapshot(3, 10, 1, eta=90.0, spent="2.00 T4 hours")]


@pytest.fixture
def view(stands: list[Snapshot]) -> TerminalView:
    console = Console(
        file=io.StringIO(), width=110, height=40, force_terminal=True, highlight=False
    )
    return TerminalView(
        "study x",
        snapshot=lambda: stands[-1],
        name=lambda key, spec: spec["method"],
        slots=lambda: (4, "4 CPUs on 1 node"),
        total=lambda key: 12,
        footer=["report: here"],
        console=console,
    )


def shown(view: TerminalView, *, styled: bool = False) -> str:
    console = Console(
        file=io.StringIO(), width=110, height=40, record=True, force_terminal=True, highlight=False
    )
    console.print(view.render())
    return console.export_text(styles=styled)


def test_a_trial_shows_where_it_is_until_it_ends(view: TerminalView) -> None:
    view.started("a", spec(seed=7))
    assert re.search(r"synflow +0.5 +7 +starting +0 s", shown(view))
    view.reported(
        "a", {"epochs": 5, "label": "train epoch 6/12", "level": 2, "curve": rows(0.4321, 77.125)}
    )
    assert re.search(r"synflow +0.5 +7 +train epoch 6/12 +2 +5/12 +0.432 +77.12 +0 s", shown(view))
    view.interrupted("a")
    assert "synflow" not in shown(view)


@pytest.mark.parametrize("width", [60, 80, 108, 200])
def test_no_number_is_cut_short_on_a_narrow_terminal(view: TerminalView, width: int) -> None:
    view.console.width = width
    view.started("a", spec("lottery_ticket (levels=sparsities, rate=0.6)" * 2))
    view.reported(
        "a", {"epochs": 5, "label": "train epoch 6/12", "level": 2, "curve": rows(0.4321, 77.125)}
    )
    console = Console(file=io.StringIO(), width=width, height=40, record=True)
    console.print(view.render())
    text = console.export_text()
    assert (
        " 77.12 " in text
        and "0 s" in text
        and "sparsity" in text
        and max(map(len, text.splitlines())) <= width
    )
    assert ("0.432" in text) == (width >= 100)


def test_the_head_counts(view: TerminalView, stands: list[Snapshot]) -> None:
    view.started("a", spec())
    text = shown(view)
    assert (
        "study x   2 done, 1 running, 1 failed, 6 left   0 s so far, about 90 s to go\n"
        in text.replace(" \n", "\n")
    )
    assert "1 of 4 places for trials in use; the cluster has 4 CPUs on 1 node" in text
    assert "spent: 2.00 T4 hours" in text and "report: here" in text
    stands.append(Snapshot(5, None, 0))
    view.failed("a", "E")
    assert re.search(r"5 done, 0 running, 0 failed +0 s so far *\n", shown(view))


def test_accuracies_are_means_over_seeds_of_the_validation_split_where_all_have_one(
    view: TerminalView,
) -> None:
    for seed, value in enumerate((80.0, 90.0)):
        view.started(f"a{seed}", spec(seed=seed))
        view.done(
            f"a{seed}", {"levels": [level(0.5, value + 9), level(0.5, value)]}
        )  # the last stage counts
    view.started("b", spec("magnitude"))
    view.done("b", {"levels": [level(0.5, 84.0), level(0.9, 70.0)]})
    text = shown(view)
    assert "validation top-1 in %, mean so far (1 to 2 seeds), best at a sparsity in bold" in text
    assert re.search(r"magnitude +84.00 +70.00", text) and re.search(r"synflow +85.00", text)
    assert text.index("magnitude") < text.index("synflow"), (
        "the best at the highest sparsity comes first"
    )
    styled = shown(view, styled=True)
    assert (
        "\x1b[1m85.00" in styled and "\x1b[1m84.00" not in styled and "\x1b[1m70.00" not in styled
    )
    view.started("c", spec("random"))
    view.done("c", {"levels": [level(0.5, None, 55.0)]})
    assert "test top-1 in %" in shown(view) and "84.00" not in shown(view)


def planned(**specs: dict[str, Any]) -> Any:
    """What the view reads of a plan with these trials."""
    return SimpleNamespace(
        by_key={
            key: SimpleNamespace(spec=TrialSpec.model_validate(raw_spec))
            for key, raw_spec in specs.items()
        }
    )


def test_results_of_earlier_launches_are_part_of_the_means(
    view: TerminalView, tmp_path: Path
) -> None:
    store = Store.at(tmp_path)
    for key, of in (("a", "a"), ("b", "other")):  # the second is a file of another trial
        store.write(
            f"rows/{key}.parquet",
            parquet_tables.encode_table("rows", [{"key": of, "sparsity": 0.5, "val_top1": 66.5}]),
        )
    view.add_finished_trials(
        store, planned(a=spec(), b=spec("magnitude"), c=spec()), ["a", "b", "c"]
    )
    assert re.search(r"synflow +66.50", shown(view)) and "magnitude" not in shown(view)


def test_a_trial_that_runs_again_counts_once(view: TerminalView) -> None:
    for value in (60.0, 80.0):
        view.started("a", spec())
        view.done("a", {"levels": [level(0.5, value)]})
    assert "(1 seed)" in shown(view) and re.search(r"synflow +80.00", shown(view))


def test_each_setting_of_a_study_has_its_own_means(view: TerminalView, tmp_path: Path) -> None:
    longer = {"recipe": Recipe(epochs=200)}
    specs = {
        "a": spec(),
        "b": spec() | {"dataset": "mnist"},
        "c": spec() | longer,
        "d": spec("magnitude") | longer,
    }
    view.add_finished_trials(Store.at(tmp_path), planned(**specs), [])
    for key, raw_spec in specs.items():
        view.started(key, raw_spec)
    assert re.search(r"synflow, mnist resnet8 +0.5 +0 +starting", shown(view))
    for value, key in enumerate(specs, 60):
        view.done(key, {"levels": [level(0.5, float(value))]})
    text = [" ".join(line.split()) for line in shown(view, styled=False).splitlines()]
    begin = text.index("at sparsity 0.5") + 1
    assert text[begin : begin + 7] == [
        "digits resnet8 {}", "synflow 60.00", "mnist resnet8", "synflow 61.00",
        'digits resnet8 {"epochs": 200}', "magnitude 63.00", "synflow 62.00",
    ]  # fmt: skip
    assert "(1 seed)" in shown(view)
    bold = re.findall(r"\x1b\[1m(\d+\.\d+)", shown(view, styled=True))
    assert bold == ["63.00"], "only within a setting one is the best"


def test_headings_of_settings_leave_the_view_in_the_terminal(
    view: TerminalView, tmp_path: Path
) -> None:
    specs = {f"{d}{m}": spec(f"m{m}") | {"dataset": f"d{d}"} for d in range(9) for m in range(9)}
    view.add_finished_trials(Store.at(tmp_path), planned(**specs), [])
    for key, raw_spec in specs.items():
        view.add_accuracies(key, raw_spec, [level(0.5, 50.0)])
    for rows in range(2, 40):
        drawn = view._accuracies.draw(rows)
        assert drawn and 2 <= drawn[1].row_count - 1 <= rows, "one row says how many more there are"


@pytest.mark.parametrize("height", [24, 40, 80])
def test_the_view_fits_the_terminal(view: TerminalView, height: int) -> None:
    view.console.height = height
    for number in range(100):
        view.started(str(number), spec(f"m{number}"))
        view.add_accuracies(str(number), spec(f"m{number}"), [level(0.5, 1.0 * number)])
    text = shown(view)
    assert (
        height - 8 <= len(text.splitlines()) < height
        and re.search(r"and \d+ more", text)
        and "report: here" in text
    )


def test_names_cannot_steer_the_terminal_or_the_markup(view: TerminalView) -> None:
    view.started("a", spec("[red]x[/]"))
    assert "[red]x[/]" in shown(view)


def test_a_watcher_that_fails_is_one_warning_and_told_no_more(
    view: TerminalView, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sweeps.running.progress import Progress
    from sweeps.running.tune_callback import TuneCallback
    from sweeps.running.worker_failures import WorkerFailures

    view.snapshot = lambda: 1 // 0  # type: ignore[assignment,return-value]
    other: Any = SimpleNamespace(
        started=lambda key, spec: heard.append(key), reported=lambda key, result: heard.append(key)
    )
    heard: list[str] = []
    progress = Progress({"a": "a"}, {"a": 1})
    callback = TuneCallback(progress, {}, Store.at(tmp_path), WorkerFailures(), [view, other])
    trial = SimpleNamespace(trial_id="t", config={"key": "a", "spec": spec()})
    callback.on_trial_start(0, [], trial)
    callback.on_trial_result(0, [], trial, {"epochs": 1})
    text = capsys.readouterr().out
    assert (
        text.count("\n") == 1
        and text.startswith("warning: TerminalView: ZeroDivisionError: ")
        and heard == ["a", "a"]
    )
