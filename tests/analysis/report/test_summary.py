"""The sentences of the summary: each is made false by a change of the numbers, and changes.

Covers: analysis/report/summary_of_comparisons.py, analysis/report/summary_of_controls.py,
analysis/report/summary_words.py.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from analysis.report.summary_words import count, list_names, list_sparsities, spread_evenly
from tests.analysis.report.made_up_summaries import NOISE, find, summarise
from tests.analysis.synthetic import Writer, make_own_rows, make_row

MEANS = {"magnitude": 93.6, "synflow": 93.5, "snip": 80.0, "random": 90.0}
EPOCHS = {"magnitude": 6, "synflow": 12, "snip": 12, "random": 12}


def write_rows(
    folder: Path,
    means: Mapping[str, float],
    *,
    seeds: Sequence[int] = range(5),
    epochs: Mapping[str, int] = EPOCHS,
    metric: str = "test_top1",
    dense: bool = True,
    images: int | None = 10_000,
    **columns: object,
) -> list[str]:
    """The summary of a study: methods at 90 % with a mean each; magnitude starts from dense."""
    writer = Writer(folder, name="made up")
    for seed in seeds:
        same = {"test_images": images, **columns}
        parents = []
        if dense:
            row = make_row("dense", 0.0, seed, test_top1=94.0 + NOISE[seed], epochs=12, **same)
            parents = [writer.add([row])]
        for method, mean in means.items():
            value = round(mean + NOISE[seed] * (-1) ** len(method), 2)
            row = make_row(
                method, 0.9, seed, test_top1=value, epochs=epochs.get(method, 12), **same
            )
            writer.add([row], parents=parents if method == "magnitude" else [])
    return summarise(writer.finish(), metric)


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The summary of the means above."""
    return write_rows(tmp_path_factory.mktemp("usual"), MEANS)


@pytest.fixture(scope="module")
def without_dense(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The same without a dense network, each method with as many epochs."""
    return write_rows(tmp_path_factory.mktemp("without_dense"), MEANS, dense=False, epochs={})


@pytest.fixture(scope="module")
def better(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """SynFlow is above the dense network, magnitude pruning as good."""
    means = MEANS | {"magnitude": 94.0, "synflow": 95.0}
    return write_rows(tmp_path_factory.mktemp("better"), means)


def test_what_is_done_and_how_many_networks_there_are(tmp_path: Path, usual: list[str]) -> None:
    assert usual[:2] == [
        "25 of 25 trials done.",
        "25 trials measured 25 networks.",
    ]
    writer = Writer(tmp_path / "b")
    writer.add([make_row("wanda", 0.5, 1, stage=stage) for stage in ("raw", "recalibrated")])
    writer.add([make_row("lottery_ticket", s, 1, level=level) for level, s in ((1, 0.5), (2, 0.9))])
    writer.add([make_row("dense", 0.0, 2)], outcome="missing")
    summary = summarise(writer.finish())
    assert summary[0] == "2 of 3 trials done, 1 waiting."
    assert summary[1].startswith("2 trials measured 3 networks in 4 rows: some at several stages")


def test_a_small_share_of_parameters_that_can_be_pruned_is_told(tmp_path: Path) -> None:
    def summarise_rows(name: str, rows: Sequence[tuple[str, float, int, int, int]]) -> list[str]:
        """Rows of a network of 1000 parameters: sparsity, then how many it has, how many of these
        can be pruned, and how many are not zero."""
        writer = Writer(tmp_path / name)
        for method, sparsity, params, prunable, nonzero in rows:
            counts = {"params": params, "prunable": prunable, "nonzero": nonzero}
            counts |= {"compression": 1000 / nonzero, "sparsity_reached": sparsity}
            writer.add([make_row(method, sparsity, 1, **counts)])
        return summarise(writer.finish())

    dense = ("dense", 0.0, 1000, 1000, 1000)
    masked = [dense, ("magnitude", 0.5, 1000, 400, 800), ("magnitude", 0.9, 1000, 400, 640)]
    sentence = find(summarise_rows("masked", masked), "Sparsities are of")
    assert sentence == (
        "Sparsities are of 40 % of the parameters, those that can be pruned: the sparsest network "
        "(90 %) still has 64 % of all parameters."
    )
    # Of 400 prunable weights 100 are left in a network of 550 parameters.
    both = [*masked, ("l1_filter", 0.75, 550, 100, 550), ("wanda", 0.5, 1000, 200, 900)]
    sentence = find(summarise_rows("both", both), "Sparsities are of")
    assert sentence.startswith("Sparsities are of 20 to 40 %, depending on the method, of the")
    most = [dense, ("magnitude", 0.9, 1000, 950, 145)]
    assert not any("Sparsities are of" in line for line in summarise_rows("most", most))
    unknown = [dense, ("magnitude", 0.9, 1000, None, 145)]
    assert not any("Sparsities are of" in line for line in summarise_rows("unknown", unknown))  # type: ignore[arg-type]


def test_the_dense_network(usual: list[str], without_dense: list[str]) -> None:
    sentence = find(usual, "The dense network has")
    assert sentence.startswith("The dense network has a test top-1 accuracy of 94.00 [93.9")
    assert sentence.endswith("] % (n = 5, 12 epochs).")
    assert "The dense network is not measured yet." in without_dense
    assert not any("compared with the dense network" in sentence for sentence in without_dense)


def test_a_longer_dense_training(tmp_path: Path) -> None:
    for name, gain, verdict in (
        ("a", 0.01, "not separable from it"),
        ("b", 2.0, "separably better"),
        ("c", -2.0, "separably worse"),
    ):
        means = {"magnitude": 93.6, "snip": 90.0}
        writer = Writer(tmp_path / name)
        for seed in range(5):
            top = 94.0 + NOISE[seed]
            writer.add([make_row("dense", 0.0, seed, test_top1=top, epochs=12)])
            writer.add([make_row("dense_longer", 0.0, seed, test_top1=top + gain, epochs=60)])
            for method, mean in means.items():
                writer.add([make_row(method, 0.9, seed, test_top1=mean - NOISE[seed])])
        summary = summarise(writer.finish())
        sentence = find(summary, "Trained as long as the longest method")
        assert sentence.endswith(f"(n = 5, 60 epochs), {verdict}.")
        against = find(summary, "Against a dense network trained as long as the longest method")
        difference = 93.6 - 94.0 - gain
        sign = "+" if difference > 0 else "−"
        assert f"method: {sign}{abs(difference):.2f} [" in against
        assert against.endswith("separably worse." if difference < 0 else "separably better.")


def test_the_best_and_what_is_separably_worse(
    tmp_path: Path, usual: list[str], better: list[str]
) -> None:
    best = find(usual, "is best with")
    assert best.startswith("At 90 %, Magnitude is best with 93.60 [")
    assert "] %; of 2 other methods, 1 is separably worse, 1 not separable from it (n = 5)." in best
    other = find(better, "is best with")
    assert other.startswith("At 90 %, SynFlow is best with 95.00 [")
    assert "; separably worse: all 2 other methods (n = 5)." in other
    equal = find(write_rows(tmp_path / "c", MEANS | {"snip": 93.55}), "is best with")
    assert "; not separable from it: all 2 other methods (n = 5)." in equal
    single = find(write_rows(tmp_path / "d", MEANS, seeds=[0]), "is best with")
    assert single.startswith("At 90 %, Magnitude is best with 93.50 % (n = 1); with one seed")


def test_the_best_that_also_trained_longest(
    tmp_path: Path, usual: list[str], without_dense: list[str]
) -> None:
    longest = find(usual, "is best with")
    assert longest.endswith(" It also trained longest: 18 epochs in total, the others 12.")
    others = {"magnitude": 6, "synflow": 18, "snip": 12}
    equal = find(write_rows(tmp_path / "b", MEANS, epochs=others), "is best with")
    assert "trained longest" not in equal, "18 and 18"
    more = find(write_rows(tmp_path / "c", MEANS, epochs=EPOCHS | {"snip": 15}), "is best with")
    assert more.endswith("18 epochs in total, the others 12 to 15.")
    assert "trained longest" not in find(without_dense, "is best with")


def test_results_against_the_dense_network(
    tmp_path: Path, usual: list[str], better: list[str]
) -> None:
    sentence = find(usual, "compared with the dense network")
    assert sentence == (
        "Of 3 results of methods compared with the dense network, 3 are separably worse and 0 "
        "separably better (5 % for all comparisons together)."
    )
    changed = find(better, "compared with the dense network")
    assert "1 is separably worse and 1 separably better" in changed
    losses = write_rows(tmp_path, MEANS, metric="test_loss", test_loss=1.0)
    assert not any("separably worse and" in sentence for sentence in losses), "no loss varies"


def test_methods_against_their_controls(tmp_path: Path) -> None:
    summary = write_rows(tmp_path / "a", MEANS | {"shuffled": 70.0})
    assert find(summary, "every control of their own") == (
        "Separably better than every control of their own: Magnitude and SynFlow at 90 %; the "
        "other 1 method at no sparsity."
    )
    assert find(summary, "Against Random,") == (
        "Against Random, separably better: Magnitude and SynFlow at 90 %; separably worse: SNIP "
        "at 90 %."
    )
    assert find(summary, "Against Shuffled mask,") == (
        "Against Shuffled mask, separably better: Magnitude at 90 %."
    )
    reversed_summary = write_rows(tmp_path / "b", MEANS | {"random": 93.58, "shuffled": 95.0})
    assert find(reversed_summary, "every control of its own") == (
        "None of 3 methods is separably better than every control of its own at any sparsity."
    )
    assert find(reversed_summary, "Against Random,") == (
        "Against Random, separably worse: SNIP at 90 %; not separable anywhere: Magnitude and "
        "SynFlow."
    )
    assert "separably worse: Magnitude" in find(reversed_summary, "Against Shuffled mask,")
    best = find(reversed_summary, "is best with")
    assert best.startswith("At 90 %, Magnitude is best"), "a control never is"


def test_a_method_without_a_control_is_named(tmp_path: Path) -> None:
    sentence = find(write_rows(tmp_path / "a", MEANS | {"l1_filter": 90.0}), "no measured control")
    assert sentence == "L1 filter has no measured control at the same sparsities."
    summary = write_rows(tmp_path / "b", MEANS | {"l1_filter": 90.0, "small_from_scratch": 89.0})
    assert not any("no measured control" in sentence for sentence in summary)


def test_the_sizes_of_the_data(tmp_path: Path, usual: list[str]) -> None:
    sentence = find(usual, "Images:")
    assert sentence == "Images: 45,000 for training, 5,000 for validation, 10,000 for testing."
    one = {"magnitude": 93.6}
    no_part = find(write_rows(tmp_path / "b", one, recipe='{"hold_out": false}'), "Images:")
    assert no_part == "Images: 50,000 for training, 10,000 for testing."
    unknown = write_rows(tmp_path / "c", one, images=None, dataset="mine")
    assert any("How many test images there are is not known" in line for line in unknown)


def test_disconnected_networks(tmp_path: Path, usual: list[str]) -> None:
    assert find(usual, "connected") == "All 25 networks are connected from input to output."
    writer, broken = Writer(tmp_path), (("snip", 1), ("dense", 2))
    for seed in range(5):
        for method in ("dense", *MEANS):
            sparsity = 0.0 if method == "dense" else 0.9
            writer.add([make_row(method, sparsity, seed, connected=(method, seed) not in broken)])
    sentence = find(summarise(writer.finish()), "connected")
    assert sentence == "2 of 25 networks are disconnected: Dense and SNIP."


def test_a_network_of_two_stages_counts_once(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    stages = ("raw", "recalibrated")
    writer.add([make_row("wanda", 0.5, 1, stage=stage, connected=False) for stage in stages])
    writer.add([make_row("dense", 0.0, 1)])
    assert (
        find(summarise(writer.finish()), "connected") == "1 of 2 networks is disconnected: Wanda."
    )


def test_the_time_that_trials_took(tmp_path: Path) -> None:
    def write(folder: Path, seconds: Mapping[str, float]) -> str:
        writer = Writer(folder)
        for method, amount in seconds.items():
            sparsity = 0.0 if method == "dense" else 0.9
            spent = {"trial_seconds": amount, "train_seconds": amount / 2}
            writer.add([make_row(method, sparsity, 1, **spent)])
        return find(summarise(writer.finish()), "All trials took")

    sentence = write(tmp_path / "a", {"dense": 100.0, "magnitude": 20.0, "snip": 10.0})
    assert sentence.startswith(
        "All trials took 2.17 min of one CPU core; a trial of Magnitude takes longest (20 s), one "
        "of SNIP least (10 s)"
    )
    other = write(tmp_path / "b", {"dense": 100.0, "magnitude": 20.0, "snip": 30.0})
    assert "SNIP takes longest (30 s), one of Magnitude least (20 s)" in other
    alike = write(tmp_path / "c", {"dense": 100.0, "magnitude": 20.0, "snip": 20.0})
    assert "of one CPU core; a trial of every method takes 20 s, without" in alike


def test_several_settings_are_named(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for model in ("mlp", "vgg16"):
        writer.add([make_row("dense", 0.0, 1, model=model)])
    summary = summarise(writer.finish())
    assert [line for line in summary if line.startswith("cifar10, mlp: The dense network has")]


def test_levels_of_an_own_rule_have_no_peers(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for seed in (1, 2):
        writer.add([make_row("dense", 0.0, seed)])
        writer.add(make_own_rows("han_iterative", (0.4, 0.6), seed))
    assert not any("is best with" in sentence for sentence in summarise(writer.finish()))


def test_words() -> None:
    assert [count(number, "trial") for number in (0, 1, 1200)] == [
        "0 trials",
        "1 trial",
        "1,200 trials",
    ]
    assert list_names(["a"]) == "a"
    assert list_names(list("abcd")) == "a, b, c and d"
    assert list_names(list("abcde")) == "a, b, c and 2 more"
    assert list_names(list("abcde"), most=None) == "a, b, c, d and e"
    assert list_sparsities([0.5, 0.98]) == "50 and 98 %"
    assert spread_evenly([1.0, 2.0, 3.0, 4.0, 5.0], 3) == {1.0, 3.0, 5.0}
    assert spread_evenly([1.0, 2.0], 3) == {1.0, 2.0}
