"""The page of a replication: made of its rows alone, and what is on it.

Covers: analysis/replications/recorded_rows.py, analysis/replications/replication_files.py,
analysis/replications/replication_figures.py, analysis/replications/__main__.py.
"""

from pathlib import Path

import pandas as pd
import pytest

from analysis.reading.load import load_study
from analysis.replications.__main__ import main
from analysis.replications.papers import PAPERS
from analysis.replications.recorded_rows import (
    Facts,
    RecordedRows,
    make_facts,
    read_recorded,
    record,
)
from analysis.replications.replication_files import make_page
from analysis.replications.replication_page import write_page
from pruning.user_error import UserError
from tests.analysis.replications.recorded import make_rows
from tests.analysis.synthetic import Writer, make_row

PAGES = Path(__file__).resolve().parents[3] / "docs" / "replications"
COMMITTED = sorted(path.stem for path in PAGES.glob("*.parquet"))
COMMAND = "python sweeps/replicate.py --presets snip_lenet"


def snip_rows(*, seeds: int = 3, snip: float = 98.4) -> pd.DataFrame:
    dense = [
        {"method": "dense", "seed": seed, "test_top1": 98.3 + 0.01 * seed} for seed in range(seeds)
    ]
    pruned = [
        {"method": "snip", "seed": seed, "sparsity": 0.95, "test_top1": snip - 0.01 * seed}
        for seed in range(seeds)
    ]
    return make_rows(*dense, *pruned)


def page(rows: pd.DataFrame, **facts: object) -> str:
    given = {"changed": (), "planned": {"dense": 3, "snip": 3}} | facts
    recorded = RecordedRows(
        rows,
        Facts(preset="snip_lenet", command=COMMAND, hardware="a machine, 2 cores", **given),  # type: ignore[arg-type]
    )
    return write_page(recorded, notes="## Looked into\n\nNothing.")


def line_of(text: str, words: str) -> str:
    return next(line for line in text.splitlines() if words in line)


def test_every_claim_has_its_verdict() -> None:
    text = page(snip_rows(snip=97.0))
    # Published 1.6 ± 0.3; ours 3.0, 3.01, 3.02: the interval is 3.01 ± 4.303 * 0.01 / sqrt(3).
    found = line_of(text, "SNIP at 95 %: error 1.6 %")
    assert found.endswith(
        "| 1.60 % | 1.30 to 1.90 | 3.01 [2.99, 3.03] | 3 | **outside** by 1.11 % |"
    )
    assert line_of(text, "SNIP at 98 %: error 2.4 %").endswith("| – | 0 | not run |")
    assert line_of(text, "LeNet-300-100, dense").endswith("1.69 [1.67, 1.71] | 3 | inside |")
    assert "**Of 7 claims, 1 lie inside the tolerance named in advance, 2 outside, 4" in text
    assert "## Looked into" in text


def test_a_doubtful_verdict_says_so() -> None:
    rows = snip_rows()
    rows.loc[rows["method"] == "dense", "test_top1"] = [98.0, 98.3, 98.6]
    assert line_of(page(rows), "LeNet-300-100, dense").endswith("| inside, the interval is not |")
    rows.loc[rows["method"] == "dense", "test_top1"] = [97.6, 97.9, 98.2]
    found = line_of(page(rows), "LeNet-300-100, dense")
    assert found.endswith("| **outside** by 0.10 %, the interval reaches in |")
    one = page(snip_rows(seeds=1))
    assert line_of(one, "LeNet-300-100, dense").endswith("| 1.70 | 1 | inside, one seed |")


def test_it_says_what_was_run_and_what_is_different() -> None:
    text = page(snip_rows(), changed=("recipe.epochs=20",), planned={"dense": 5, "snip": 20})
    assert "Unfinished: 6 of 25 trials are done" in text
    assert "Shortened or changed against the preset: `recipe.epochs=20`." in text
    assert "* this run sets `recipe.epochs=20`" in text
    assert f"* `{COMMAND}`" in text
    assert "2026-11-30, on a machine, 2 cores; 3.0 core hours of trials" in text  # 6 of 1,800 s
    assert "dense 3 of 5, snip 3 of 20; seeds 0, 1, 2" in text
    assert all(difference in text for difference in PAPERS["snip_lenet"].differences)
    assert "Unfinished" not in page(snip_rows())
    begun = snip_rows()
    begun.loc[begun["key"] == "snip/2", "trial_seconds"] = float("nan")
    text = page(begun)
    assert "Unfinished: 5 of 6 trials are done, of 1 more the levels that they have" in text
    assert "dense 3 of 3, snip 2 of 3" in text


def test_trainings_whose_loss_was_smallest_at_their_end_are_counted() -> None:
    rows = make_rows(
        *(
            {"method": "dense", "seed": n, "test_top1": 98.0, "early_stop_iteration": iteration}
            for n, iteration in enumerate((400, 900, 901, 1000))
        )
    )
    recorded = RecordedRows(
        rows, Facts("lth_lenet", (), COMMAND, "a machine", {"dense": 4}, iterations=1000)
    )
    found = line_of(write_page(recorded), "| lenet_300_100 | dense |")
    assert found.split(" | ")[3] == "4" and found.endswith("| 2 |")


def test_rows_are_recorded_with_the_facts_of_their_run(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "study")
    for seed in (1, 2):
        writer.add([make_row("magnitude", 0.5, seed, knobs='{"scope": "layer"}')])
    study = load_study(writer.finish())
    facts = make_facts(study, preset="snip_lenet", changed=("a=1",), command="x", hardware="y")
    record(study, facts, tmp_path / "rows.parquet")
    found = read_recorded(tmp_path / "rows.parquet")
    assert found.facts == facts and facts.planned == {"magnitude": 2} and facts.iterations is None
    assert list(found.rows["knobs"]) == [{"scope": "layer"}] * 2
    assert found.rows["host"].isna().all() and found.rows["digest"].isna().all()
    columns = ["seed", "test_top1", "sparsity", "prunable"]
    expected = study.rows.sort_values("seed")[columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.rows[columns], expected)


def test_the_command_writes_page_rows_and_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = Writer(tmp_path / "study")
    for seed in (1, 2):
        writer.add([make_row("dense", 0.0, seed, dataset="mnist", model="lenet_300_100")])
        writer.add([make_row("snip", 0.95, seed, dataset="mnist", model="lenet_300_100")])
    writer.finish()
    pages = tmp_path / "pages"
    words = ["snip_lenet", "--pages", str(pages)]
    assert main(words) == 2
    assert "no rows of 'snip_lenet'" in capsys.readouterr().err
    assert main([*words, "--study", str(tmp_path / "study"), "--command", COMMAND]) == 0
    text = (pages / "snip_lenet.md").read_text()
    (figure,) = pages.glob("*.png")
    assert f"]({figure.name})" in text and COMMAND in text
    (pages / "snip_lenet.notes.md").write_text("## Looked into\n\nA note.\n")
    assert main(words) == 0  # again, of the recorded rows
    assert (pages / "snip_lenet.md").read_text().replace(
        "## Looked into\n\nA note.\n\n", ""
    ) == text
    assert main(["no_such"]) == 2


@pytest.mark.parametrize("preset", COMMITTED)
def test_the_committed_page_is_made_of_the_committed_rows(preset: str) -> None:
    text, figures = make_page(PAGES, preset)
    assert (PAGES / f"{preset}.md").read_text() == text
    assert {path.name for path in PAGES.glob(f"{preset}-*.png")} == set(figures)


def test_a_page_without_rows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no rows of 'han_lenet'"):
        make_page(tmp_path, "han_lenet")
