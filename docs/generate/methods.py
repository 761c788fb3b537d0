"""The pages of the methods, made from their cards, knobs and docstrings, and from what a study
measured."""

from __future__ import annotations

import inspect
import json
import re

from differences import write_differences
from knobs import list_fields, make_table
from measured import MeasuredStudy, find_study

from pruning import registry
from pruning.method import Method

KINDS = {
    "baseline": "Baseline",
    "unstructured": "Unstructured",
    "structured": "Structured",
    "control": "Controls",
}
STARTS = {"init": "the initial weights", "dense": "the trained dense network"}
REACHES = {
    "exact": "exactly the requested one",
    "nearest": "the nearest that whole channels (or n:m layers) allow",
    "own": "what its own rule decides, unless its knobs say otherwise",
}
FIGURES = """
## The figures

Each method's page has a figure and its numbers: of the study `trained_cifar10`, where the method is
in it, else of the embedded one.

* **`trained_cifar10`**: a ResNet-20 that others have trained, trained on for three epochs on
  CIFAR-10 and pruned, without its ResNet-56 (`--set also=[]`); one epoch of retraining where a
  method retrains. The images are a JPEG copy of CIFAR-10, so that no number is one of a paper.
* **`digits`**: real 8x8 digits (scikit-learn), ResNet-8, 12 epochs, 6 epochs of retraining.
  `lottery_ticket` visits the study's sparsities in rounds of at most 60 %, `hrank` trains 2 epochs
  after each layer, and `dense_longer` as long as the lottery tickets in all. With a data set this
  easy, most differences above 90 % accuracy are not separable: the figures show the shape of a
  curve; they rank nothing.

Seeds 0, 1 and 2 in both, in bf16 on two CPU cores, 2026-11-30; default knobs, unless the page says
otherwise. Numbers of post-training methods are those after batch-norm recalibration.

```sh
make study                                                       # the embedded study
python sweeps/full_study.py --preset trained_cifar10 --set 'also=[]'
python docs/generate/curves.py studies/digits > docs/digits.csv  # the numbers
python docs/generate/curves.py studies/trained_cifar10 > docs/trained_cifar10.csv
```
"""
_ARXIV = re.compile(r"arXiv (\d{4}\.\d{4,5})")


def link_papers(text: str) -> str:
    """A text with arXiv numbers as links."""
    return _ARXIV.sub(r"[arXiv \1](https://arxiv.org/abs/\1)", text)


def link_methods(table: str) -> str:
    """The overview table with every method's name as a link to its page."""
    return re.sub(
        r"^\| `(\w+)` \|", r"| [`\1`](methods/\1.md) |", link_papers(table), flags=re.MULTILINE
    )


def list_pages() -> list[dict[str, list[str]]]:
    """The pages by kind, as an entry of the site's navigation."""
    kinds = {
        kind: [
            name
            for name in registry.list_methods()
            if registry.find_method_class(name).card.kind == kind
        ]
        for kind in KINDS
    }
    return [
        {KINDS[kind]: [f"methods/{name}.md" for name in names]}
        for kind, names in kinds.items()
        if names
    ]


def write_page(name: str) -> str:
    """The page of a method; without a figure where no study has measured it."""
    kind = registry.find_method_class(name)
    card = kind.card
    properties = {
        "Name in a study": f"`{name}`",
        "Kind": card.kind,
        "Paper": link_papers(card.paper),
        "Starts from": STARTS[kind.starts_from],
        "Sparsity": REACHES[kind.reaches] if kind.prunes else "none",
        "Cost": card.cost,
        "When to use it": card.when,
    }
    lines = [f"# {card.title}", "", f"{card.summary[:1].upper()}{card.summary[1:]}.", ""]
    if card.formula:
        lines += [
            "```text",
            card.formula,
            "```",
            "",
            "`w` is a weight, `s` the requested sparsity.",
            "",
        ]
    lines += [
        "| | |",
        "|---|---|",
        *(f"| {title} | {text} |" for title, text in properties.items()),
        "",
    ]
    lines += ["## What it does", "", _read_prose(kind), "", *write_differences(name)]
    lines += ["## Knobs", ""]
    fields = list_fields(kind)
    lines += [*make_table(fields), ""] if fields else ["None.", ""]
    lines += ["```yaml", "methods:", f"  - {_write_entry(name, kind)}", "```", ""]
    if study := find_study(name):
        lines += _write_results(name, study)
    return "\n".join(lines)


def _read_prose(kind: type[Method]) -> str:
    """The docstring's sentences, without the entries that the table of knobs shows."""
    prose: list[str] = []
    skipping = False
    for line in inspect.cleandoc(kind.__doc__ or "").splitlines():
        entry = re.match(r"([a-z_]+(?:, [a-z_]+)*): ", line)
        skipping = bool(entry and set(entry[1].split(", ")) <= set(kind.model_fields)) or (
            skipping and line.startswith("    ")
        )
        if not skipping:
            prose.append(line)
    return link_papers("\n".join(prose).strip()).replace("*", "\\*")


def _write_entry(name: str, kind: type[Method]) -> str:
    """The method as one writes it in a study file, with its first knob that has a value where it
    is left out."""
    for knob, field in kind.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if default is None:
            continue
        shown = str(default).lower() if isinstance(default, bool) else default
        return f"{name}: {{{knob}: {shown}}}    # the default"
    return name


def _write_results(name: str, study: MeasuredStudy) -> list[str]:
    cells = study.table[study.table["method"] == name].sort_values("sparsity")
    lines = [
        f"## {study.title}",
        "",
        f"![Accuracy against sparsity]({name}.svg)",
        "",
        "| sparsity | test top-1 (%) | n |",
        "|---|---|---|",
    ]
    lines += [
        f"| {100 * cell.sparsity:.4g} % | {cell.mean:.2f} [{cell.low:.2f}, {cell.high:.2f}] | "
        f"{cell.n} |"
        for cell in cells.itertuples()
    ]
    knobs = ", ".join(
        f"`{knob}: {json.dumps(value)}`"
        for knob, value in json.loads(cells["knobs"].iloc[0]).items()
    )
    how = f"{study.what[:1].upper()}{study.what[1:]}" + (f"; {knobs}" if knobs else "")
    return [
        *lines,
        "",
        f"{how}: [how it was measured](../methods.md#the-figures). Mean over seeds and its 95 % "
        "interval, as the [report](../report.md#what-the-numbers-are) has it.",
        "",
    ]
