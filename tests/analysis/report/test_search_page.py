"""The report of a search: its candidates, what mattered, what is best, in every state of the
directory."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.stats import spearmanr

from analysis.__main__ import main
from analysis.figures.search_tradeoff import draw_traded
from analysis.reading.load import load
from analysis.reading.search_data import find_search
from analysis.report.study_report import FORMATS, write_report
from analysis.statistics.intervals_and_tests import t_interval, wilson_interval
from analysis.statistics.search_best import find_best, find_confirmed, find_enough
from analysis.statistics.search_importance import correlate_scores, find_importances, find_places
from trainables.storage.parquet_tables import encode
from trainables.storage.store import Store

SPEC: dict[str, Any] = {
    "name": "made_up",
    "description": "A search that was made up.",
    "dataset": "digits",
    "model": "resnet8",
    "method": "synflow",
    "sparsities": [0.9, 0.95],
    "space": {
        "iterations": {"log_range": [1, 500]},
        "schedule": {"choices": ["exponential", "linear"]},
        "recipe.lr": {"log_range": [0.01, 0.1], "when": {"schedule": "linear"}},
    },
    "strategy": {"draw": "random", "stop": "asha", "order": "flow"},
    "objective": {"max_effective_macs": None, "pareto": False},
}


def write(folder: Path, number: int, sparsity: float, **known: Any) -> None:
    one = {
        "sparsity": sparsity,
        "number": number,
        "key": f"k{sparsity}-{number}",
        "images": 500,
        **known,
    }
    path = folder / f"candidates/s{sparsity:g}/{number:05d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(one))


def make(folder: Path, count: int = 40, *, confirmed: bool = True) -> Path:
    """A search in which iterations matter (none: disconnected; many: as good), the schedule a
    little, the rate not."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "search.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False))
    (folder / "study.yaml").write_text(yaml.safe_dump({"name": "made_up"}))
    for sparsity in (0.9, 0.95):
        for number in range(count):
            iterations = int(np.exp(rng.uniform(0, np.log(500))))
            linear = bool(rng.random() < 0.5)
            configuration: dict[str, Any] = {
                "iterations": iterations,
                "schedule": "linear" if linear else "exponential",
            }
            if linear:
                configuration["recipe.lr"] = float(rng.uniform(0.01, 0.1))
            final = 60 + 6 * min(np.log(iterations), 4.0) - 2 * linear + rng.normal(0, 0.3)
            values = [float(final - 30 / epoch) for epoch in range(1, 9)]
            known: dict[str, Any] = {
                "configuration": configuration,
                "ended": number,
                "score": float(final + rng.normal(0, 2)),
            }
            if iterations < 3:
                known |= {
                    "outcome": "disconnected",
                    "emptied_layers": "a, b",
                    "epochs": 0,
                    "values": [],
                }
            elif final < 76:
                known |= {"outcome": "stopped", "epochs": 2, "values": values[:2]}
            else:
                done = {"val_top1": float(final), "effective_macs": 1000.0 + number}
                known |= {"outcome": "done", "epochs": 8, "values": values, **done}
            write(folder, number, sparsity, seconds=1.5, **known)
    if confirmed:
        write_best(folder)
    return folder


def write_best(folder: Path) -> None:
    (folder / "best.yaml").write_text("name: made_up-best\n")
    store = Store.at(folder / "best")
    store.write("study.yaml", b"name: made_up-best\n")
    for seed in (1, 2, 3):
        for method, sparsity, top1 in (
            ("dense", 0.0, 95.0),
            ("synflow", 0.9, 80.0 + seed),
            ("synflow", 0.95, 70.0 + seed),
        ):
            key = f"digits-resnet8/{method}/s{sparsity:.3f}/seed{seed}"
            row = {
                "key": key,
                "method": method,
                "sparsity": sparsity,
                "seed": seed,
                "knobs": "{}",
                "recipe": "{}",
            }
            row |= {
                "dataset": "digits",
                "model": "resnet8",
                "level": 1,
                "stage": "final",
                "test_top1": top1,
            }
            store.write(
                f"rows/{key}.parquet",
                encode("rows", [{**row, "val_top1": top1 + 1, "schema_version": 1}]),
            )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("search") / "made_up")


def test_places_order_candidates_by_how_far_they_got_and_what_they_reached(folder: Path) -> None:
    search = find_search(load(folder))
    assert search is not None
    here = search.at(0.9).assign(place=lambda frame: find_places(frame))
    assert here["place"].min() >= 0 and here["place"].max() == 1
    for one in here.to_dict("records"):
        for other in here.to_dict("records"):
            below = one["outcome"] == "disconnected" and other["outcome"] != "disconnected"
            below |= one["epochs"] < other["epochs"]
            below |= one["epochs"] == other["epochs"] and one["reached"] < other["reached"]
            assert not below or one["place"] < other["place"]
    lost = here[here["outcome"] == "disconnected"]["place"]
    assert lost.nunique() == 1


def test_what_matters_is_found_to_matter(folder: Path) -> None:
    search = find_search(load(folder))
    assert search is not None
    together, *single = find_importances(search)
    assert (
        np.isnan(together.sparsity)
        and together.n == 80
        and [one.sparsity for one in single] == [0.9, 0.95]
    )
    for one in (together, *single):
        assert one.shares["iterations"] > 0.7 > 0.2 > one.shares["recipe.lr"] and one.fit > 0.5
        assert sum(one.shares.values()) + one.rest == pytest.approx(1)


def test_few_candidates_have_no_importance(tmp_path: Path) -> None:
    search = find_search(load(make(tmp_path / "few", 4)))
    assert search is not None and find_importances(search) == []


def test_the_score_is_correlated_over_those_trained_to_the_end(folder: Path) -> None:
    search = find_search(load(folder))
    assert search is not None
    for line in correlate_scores(search).to_dict("records"):
        here = search.at(line["sparsity"])
        done = here[here["outcome"] == "done"]
        assert line["rho"] == pytest.approx(spearmanr(done["score"], done["val_top1"])[0])
        assert line["n"] == len(done) and line["scored"] == 40


def test_the_best_and_what_it_reached_on_the_test_set(folder: Path) -> None:
    search = find_search(load(folder))
    assert search is not None
    best, confirmed = find_best(search), find_confirmed(search)
    for sparsity, tops in ((0.9, [81, 82, 83]), (0.95, [71, 72, 73])):
        here = search.at(sparsity)
        (one,) = best[best["sparsity"] == sparsity].to_dict("records")
        assert one["val_top1"] == here["val_top1"].max()
        (again,) = confirmed[confirmed["sparsity"] == sparsity].to_dict("records")
        expected = t_interval(tops)
        assert (again["mean"], again["n"]) == (expected.mean, 3)
        assert again["half_width"] == pytest.approx(expected.half_width)
        assert again["iterations"] == one["iterations"] and again["schedule"] == one["schedule"]
        enough = find_enough(search, sparsity, "iterations")
        assert enough is not None and enough["iterations"] <= one["iterations"]
        low, _ = wilson_interval(one["val_top1"] / 100, 500)
        assert (
            here[here["iterations"] < enough["iterations"]]["val_top1"].dropna() < 100 * low
        ).all()


def test_the_report_has_figures_tables_and_the_study_file(folder: Path, tmp_path: Path) -> None:
    page, paths = write_report(load(folder), out=Store.at(tmp_path))
    names = {picture.name for picture in page.pictures}
    assert names == {
        "search-iterations",
        "search-recipe-lr",
        "search-importance",
        "search-parallel",
    }
    for name in names:
        assert {f"figures/{name}.{kind}" for kind in ("png", "pdf", "svg", "csv")} <= set(paths)
    assert {table.name for table in page.tables} == {
        "search-best",
        "search-scores",
        "search-candidates",
    }
    text = (tmp_path / "report.md").read_text()
    assert "name: made_up-best" in text and "log_range" in text and "disconnected" in text
    assert "82.00 ± 2.48 % on the test set (n = 3)" in text
    found = next(table for table in page.tables if table.name == "search-candidates")
    assert len(found.cells) == 80 and set(FORMATS) >= {path.rpartition(".")[2] for path in paths}
    assert (tmp_path / "report.html").read_text().count("<svg") + (
        tmp_path / "report.html"
    ).read_text().count("svg+xml") >= 4


def test_a_search_that_has_hardly_begun_has_a_report_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / "begun", 0, confirmed=False)
    assert main([str(folder), "--format", "md"]) == 0
    write(
        folder,
        0,
        0.9,
        configuration={"iterations": 5, "schedule": "linear"},
        outcome="running",
        values=[],
    )
    (folder / "candidates/s0.9/00001.json").write_text("{")
    assert main([str(folder), "--format", "md,html"]) == 0
    told = capsys.readouterr()
    assert (
        "1 candidates at 1 sparsities (1 running)" in told.out
        and "is no record of a candidate" in told.err
    )


@pytest.mark.parametrize("objective", [{"pareto": True}, {"max_effective_macs": 1010.0}])
def test_a_search_for_a_trade_shows_it(objective: dict[str, Any], tmp_path: Path) -> None:
    folder = make(tmp_path / "traded", 20)
    (folder / "search.yaml").write_text(
        yaml.safe_dump({**SPEC, "objective": objective}, sort_keys=False)
    )
    search = find_search(load(folder))
    assert search is not None
    best, done = find_best(search), search.candidates[search.candidates["outcome"] == "done"]
    if "pareto" in objective:
        for one in done.to_dict("records"):
            same = done[done["sparsity"] == one["sparsity"]]
            beats = (same["val_top1"] >= one["val_top1"]) & (
                same["effective_macs"] < one["effective_macs"]
            )
            beats |= (same["val_top1"] > one["val_top1"]) & (
                same["effective_macs"] <= one["effective_macs"]
            )
            assert (one["key"] in set(best["key"])) != beats.any()
    else:
        assert (best["effective_macs"] <= 1010).all() and len(best) == 2
    (picture,) = draw_traded(search, "SynFlow", "made up", ("png",))
    assert (
        set(picture.data.loc[picture.data["best"], "number"]) == set(best["number"])
        and picture.files["png"]
    )


def test_a_plain_study_is_no_search(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("name: plain\n")
    assert find_search(load(tmp_path)) is None
