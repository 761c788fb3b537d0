"""docs/gallery.md: every figure that the analysis draws, the question that it answers, and the
command that draws it."""

from __future__ import annotations

from dataclasses import dataclass

DIGITS = "python -m analysis studies/digits --format png"
NETWORKS = "python -m analysis studies/three_networks --format png"
SEARCH = "python -m analysis studies/gallery_search --format png"


@dataclass(frozen=True)
class Shown:
    """A figure of the gallery.

    kind: its file in analysis/figures. question: that it answers. command: that draws it. file: how
    its name in the folder of figures begins; empty where it is in the page alone.
    """

    kind: str
    title: str
    question: str
    command: str
    file: str


REPORT = (
    Shown(
        "inline_accuracy",
        "The page",
        "Which method is best at a sparsity, by how much, and is that significant? In the figure "
        "below the leaderboard methods are switched on and off, and a point tells its numbers.",
        "python -m analysis studies/digits",
        "",
    ),
    Shown(
        "accuracy_by_sparsity",
        "Accuracy by sparsity",
        "Which accuracy does each method keep at which sparsity? Left the whole range, right what "
        "lies near the dense network.",
        DIGITS,
        "sparsity-accuracy",
    ),
    Shown(
        "accuracy_by_training_cost",
        "Accuracy by training cost",
        "Was a method better, or did it only train longer?",
        DIGITS,
        "training-",
    ),
    Shown(
        "control_curves",
        "Methods and their controls",
        "Does a method beat what it must beat: random pruning, its own masks shuffled, its weights "
        "drawn anew, a small network from scratch?",
        DIGITS,
        "controls",
    ),
    Shown(
        "paired_drop",
        "Difference to the dense network",
        "How many points does pruning cost against the dense network of the same seed?",
        DIGITS,
        "paired-drop",
    ),
    Shown(
        "accuracy_by_compression",
        "Accuracy by compression",
        "What is left of the accuracy at which compression ratio and theoretical speed-up?",
        DIGITS,
        "compression",
    ),
    Shown(
        "pareto_front",
        "Pareto front",
        "Which networks does no other beat in both accuracy and effective MACs; and in accuracy "
        "and latency, once `--measure` has timed them?",
        DIGITS,
        "pareto",
    ),
    Shown(
        "layer_densities",
        "Densities of the layers",
        "From which layers does a method take the weights, and does it empty one?",
        DIGITS,
        "layer-densities",
    ),
    Shown(
        "reached_sparsity",
        "Reached sparsity",
        "Is the sparsity that was requested the one that was reached, and where does a method end "
        "that decides itself?",
        DIGITS,
        "sparsity-reached",
    ),
    Shown(
        "learning_curves",
        "Learning curves",
        "How does a pruned network learn, and has it finished when the training ends?",
        DIGITS,
        "learning-curves",
    ),
    Shown(
        "training_cost",
        "Device time",
        "How long does a trial of each method take, and how long do all of them together?",
        DIGITS,
        "cost",
    ),
)
NETWORKS_AND_PAPERS = (
    Shown(
        "score_iterations",
        "Iterations of a score",
        "How many iterations does SynFlow need, and does the network stay connected?",
        NETWORKS,
        "iterations-",
    ),
    Shown(
        "critical_difference",
        "Ranks over several networks",
        "Which methods rank apart over all networks or data sets of a study?",
        NETWORKS,
        "ranks-",
    ),
    Shown(
        "two_studies",
        "Two studies",
        "By how much does each method differ between two studies: another recipe, machine or "
        "version?",
        "python -m analysis studies/digits studies/three_networks --format png",
        "versus",
    ),
    Shown(
        "published_comparison",
        "Published numbers",
        "How far are our numbers from those of a paper? Here of [a "
        "replication](replications/snip_lenet.md).",
        "python -m analysis studies/replications/snip_lenet --format png",
        "published",
    ),
)
SEARCHES = (
    Shown(
        "search_dimensions",
        "Candidates by value",
        "Which values of a knob are good, and where did candidates fail?",
        SEARCH,
        "search-iterations",
    ),
    Shown(
        "search_tradeoff",
        "Accuracy by cost",
        "What does a candidate gain for what it costs?",
        SEARCH,
        "search-traded",
    ),
    Shown("importance_bars", "Importance", "Which knobs matter?", SEARCH, "search-importance"),
    Shown(
        "parallel_coordinates",
        "Combinations",
        "Which combinations of values are good?",
        SEARCH,
        "search-parallel",
    ),
)
ALL = (*REPORT, *NETWORKS_AND_PAPERS, *SEARCHES)
STUDY_FILE = """\
name: three_networks
dataset: digits
model: resnet8
recipe: {epochs: 6, batch: 64, lr: 0.1}
retrain: {epochs: 3, lr: 0.03}
methods: [magnitude, random, snip, {synflow: {iterations: [1, 10, 100]}}]
sparsities: [0.9, 0.98]
seeds: [0, 1]
also: [{model: mlp}, {model: simple_cnn}]
"""
SEARCH_FILE = """\
name: gallery_search
dataset: digits
model: resnet8
method: synflow
recipe: {epochs: 6, batch: 64, lr: 0.1}
sparsities: [0.95]
space:
  iterations: {log_range: [1, 200]}
  schedule: {choices: [exponential, linear]}
  recipe.lr: {log_range: [0.01, 0.5]}
strategy: {draw: random}
objective: pareto
budget: {trials: 24}
confirm_seeds: [1, 2]
"""
INTRODUCTION = """\
# Gallery

Every figure that `python -m analysis` draws, the question that it answers, and the command that
draws it. Each is written into the study directory as PDF, SVG and CSV (the numbers in it), as PNG
where `--format` asks for it, and is in `report/report.html`, too ([reading the report](report.md)).
The studies are small and real, made on a machine that did other work besides: they show what a
figure looks like, and rank nothing.
"""


def write_page() -> str:
    """The page as Markdown."""
    parts = [
        INTRODUCTION,
        "## Of every study",
        "```sh\nmake study\n```",
        *map(_write_entry, REPORT),
        "## Of several networks, studies and papers",
        f'```yaml title="three_networks.yaml"\n{STUDY_FILE}```',
        "```sh\npython sweeps/full_study.py --study three_networks.yaml\n```",
        *map(_write_entry, NETWORKS_AND_PAPERS),
        "## Of searches",
        f'```yaml title="gallery_search.yaml"\n{SEARCH_FILE}```',
        "```sh\npython sweeps/synflow_search.py --search gallery_search.yaml\n```",
        *map(_write_entry, SEARCHES),
        "---",
        "Made by `docs/generate/gallery.py`; not written by hand.",
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _write_entry(shown: Shown) -> str:
    where = f"`report/figures/{shown.file}*.png`" if shown.file else "`report/report.html`"
    if shown.kind == "two_studies":
        where = f"`versus-three_networks/figures/{shown.file}*.png`"
    picture = f"assets/gallery/{shown.kind}.png"
    return "\n\n".join(
        [
            f"### {shown.title}",
            f"{shown.question}",
            f"`{shown.command}`: {where}",
            f"[![{shown.title}]({picture})]({picture})",
        ]
    )
