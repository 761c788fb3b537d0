"""The leaderboards at the top of the page: every answer follows from the numbers and changes with
them.

Covers: analysis/report/page_leaderboards.py, analysis/report/page_answers.py.
"""

from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from analysis.reading.load import Study, load_study
from analysis.reading.study_completeness import find_missing_trials
from analysis.report.page_answers import Answer, answer_questions
from analysis.report.page_leaderboards import SettingBoards, make_page_leaderboards
from analysis.report.study_report import make_page
from analysis.statistics.results import collect_results
from tests.analysis.synthetic import Writer, make_row, write_study

SEEDS = (1, 2, 3)
ACCURACIES = {"magnitude": 97.0, "synflow": 95.0, "random": 60.0}


def make_study(
    folder: Path,
    accuracies: dict[str, float],
    *,
    seeds: tuple[int, ...] = SEEDS,
    epochs: dict[str, int] | None = None,
    **columns: object,
) -> Study:
    """One sparsity, a network per method and seed that stays within a quarter of a point."""
    writer = Writer(folder, seeds=seeds)
    for seed in seeds:
        shift = 0.25 * (seed - 2)
        dense = writer.add([make_row("dense", 0.0, seed, test_top1=98.0 + shift, epochs=10)])
        for number, (method, accuracy) in enumerate(accuracies.items()):
            value = accuracy + shift * (-1) ** number
            own = (epochs or {}).get(method, 10)
            row = make_row(method, 0.9, seed, test_top1=value, epochs=own, **columns)
            writer.add([row], parents=[] if method == "synflow" else [dense])
    return load_study(writer.finish())


def make_boards(study: Study) -> SettingBoards:
    (boards,) = make_page_leaderboards(collect_results(study), find_missing_trials(study))
    return boards


def answer(study: Study) -> dict[str, Answer]:
    (board,) = make_boards(study).boards
    return {answer.question: answer for answer in board.answers}


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The accuracies above."""
    return make_study(tmp_path_factory.mktemp("usual"), ACCURACIES)


def test_the_best_and_the_second_are_named_with_their_numbers(tmp_path: Path, usual: Study) -> None:
    """A control is neither."""
    answers = answer(usual)
    assert answers["Best beats its controls?"].text == "1 of 1"
    assert answers["Best?"].text == "Magnitude"
    assert answers["Best?"].detail.startswith("97.00 [") and "n = 3" in answers["Best?"].detail
    assert answers["Second?"].text == "SynFlow"
    assert answers["Second?"].detail.startswith("−2.00 to the best")
    turned = answer(make_study(tmp_path, ACCURACIES | {"synflow": 97.5, "random": 97.9}))
    assert (turned["Best?"].text, turned["Second?"].text) == ("SynFlow", "Magnitude")
    assert turned["Best beats its controls?"].text == "0 of 1"


def test_separable_is_what_the_test_says(tmp_path: Path) -> None:
    far = answer(make_study(tmp_path / "far", {"magnitude": 97.0, "synflow": 50.0}))
    assert far["Significant?"].text == "the other is separably behind"
    assert "separable (p" in far["Second?"].detail and "not" not in far["Second?"].detail
    assert far["Best beats its controls?"].text == "not tested"
    near = answer(make_study(tmp_path / "near", {"magnitude": 97.0, "synflow": 96.9}))
    assert near["Significant?"].text == "no"
    assert near["Significant?"].detail == "not separable: SynFlow"
    one = answer(make_study(tmp_path / "one", {"magnitude": 97.0, "synflow": 50.0}, seeds=(2,)))
    assert one["Significant?"].text == "not tested"


def test_the_budget_is_fair_only_where_the_best_did_not_train_longest(tmp_path: Path) -> None:
    same = {"magnitude": 10, "synflow": 20}
    unfair = answer(make_study(tmp_path / "a", ACCURACIES, epochs=same | {"magnitude": 40}))
    assert unfair["Fair budget?"].text == "no: the best trained longest"
    assert unfair["Fair budget?"].detail == ("epochs in total: 50; dense 10, other methods 20")
    fair = answer(make_study(tmp_path / "b", ACCURACIES, epochs={"magnitude": 5, "synflow": 30}))
    assert fair["Fair budget?"].text == "the other trained longer"
    alike = answer(make_study(tmp_path / "c", ACCURACIES, epochs={"magnitude": 9, "synflow": 19}))
    assert alike["Fair budget?"].text == "the other did not train longer"


def test_speed_is_said_only_where_it_was_measured(usual: Study) -> None:
    assert answer(usual)["Best really faster?"].text == "not measured (--measure)"
    results, missing = collect_results(usual), find_missing_trials(usual)
    rows = pd.DataFrame(
        {
            "role": ["method"],
            "series": ["M"],
            "method": ["m"],
            "mean": [97.0],
            "n": [3],
            **{name: [float("nan")] for name in ("low", "high", "p_best_adjusted")},
            **{name: [float("nan")] for name in ("difference_to_dense", "total_epochs")},
            "controls": [pd.NA],
            "theoretical_speedup": [9.0],
            "speedup": [1.25],
            **{name: [pd.NA] for name in ("separable_from_best", "separably_behind", "rank")},
            "is_best": [True],
            "expected": [3.0],
        }
    )
    (speed,) = [one for one in answer_questions(results, rows, missing) if "faster" in one.question]
    assert (speed.text, speed.detail) == (
        "1.25 times, measured",
        "9.0 times fewer MACs",
    )


def test_what_is_missing_is_counted(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "s", methods=("synflow", "random"), sparsities=(0.5, 0.9), gaps=True
    )
    last = make_boards(load_study(folder)).boards[-1]
    missing = next(one for one in last.answers if one.question == "What is missing?")
    assert missing.text == "13 of 17 trials done" and "2 failed" in missing.detail


def test_ninety_percent_is_shown_first(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "s", methods=("magnitude", "random"), sparsities=(0.5, 0.9, 0.98)
    )
    boards = make_boards(load_study(folder))
    assert [board.sparsity for board in boards.boards if board.is_first] == ["90"]
    assert sorted(boards.kinds) == ["baseline", "control", "unstructured"]
    (board,) = [board for board in boards.boards if board.is_first]
    assert [row.label for row in board.rows] == ["Dense", "Magnitude", "Random"]
    assert all(len(row.cells) == len(boards.headings) for row in board.rows)


def test_levels_of_one_method_displace_no_sparsity_of_the_many(tmp_path: Path) -> None:
    """Fifteen sparsities, of which the page shows twelve: before, 90 % was left out, and a level
    that only the lottery ticket has was shown first."""
    asked = (0.5, 0.8, 0.9, 0.95, 0.98)
    methods = ("magnitude", "synflow", "lottery_ticket", "random")
    folder = write_study(tmp_path / "s", methods=methods, sparsities=asked, seeds=(1, 2))
    boards = make_boards(load_study(folder)).boards
    shown = [float(board.sparsity) for board in boards]
    assert len(shown) == 12 and shown == sorted(shown)
    assert {50.0, 80.0, 90.0, 95.0, 98.0} <= set(shown)
    assert [board.sparsity for board in boards if board.is_first] == ["90"]
    many = [round(0.03 * step, 2) for step in range(1, 33)] + [0.901]
    folder = write_study(tmp_path / "m", methods=("magnitude",), sparsities=many, seeds=(1,))
    boards = make_boards(load_study(folder)).boards
    assert len(boards) == 12 and boards[0].sparsity == "3" and boards[-1].sparsity == "96"
    assert [board.sparsity for board in boards if board.is_first] == ["90"]


class Rows(HTMLParser):
    """The rows of the leaderboards, each with its cells' texts and the names beside them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[tuple[str | None, str]]] = []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.inside = dict(attrs).get("class") == "board-table"
        elif self.inside and tag == "tr":
            self.rows.append([])
        elif self.inside and tag == "td":
            self.rows[-1].append((dict(attrs).get("data-name"), ""))

    def handle_data(self, data: str) -> None:
        if self.inside and self.rows and self.rows[-1]:
            name, text = self.rows[-1][-1]
            self.rows[-1][-1] = (name, text + data)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with two leaderboards."""
    folder = write_study(
        tmp_path_factory.mktemp("page"), methods=("magnitude",), sparsities=(0.5, 0.9)
    )
    return make_page(load_study(folder), formats=("html",)).to_html()


def test_every_number_has_its_name_beside_it_on_a_phone(page: str) -> None:
    rows = [row for row in Rows(page).rows if row]
    assert len(rows) == 2 * 2
    for row in rows:
        assert [name for name, _ in row][3:] == [
            *("To the best", "To dense", "Epochs in total", "Compression", "Speed-up"),
        ]
    assert page.index("board-table") < page.index("<h2>Summary</h2>") < page.index("<h2>Figures")


def test_the_page_works_with_and_without_script(page: str) -> None:
    """Without a script every board is shown and no control that would do nothing."""
    assert page.count("<script>") == 1 and 'classList.add("scripted")' in page
    assert page.count('role="tab"') == 2 and 'aria-selected="true"' in page
    assert ".only-scripted { display: none; }" in page
    assert "hidden" not in page.split("<body>")[1].split("<script>")[0].replace("aria-hidden", "")
    assert page.count("% sparsity</h3>") == 2
