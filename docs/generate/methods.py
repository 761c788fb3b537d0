"""The pages of the methods, made from their cards, knobs and docstrings, and from what the embedded
study measured."""

from __future__ import annotations

import inspect
import re

import pandas as pd
from differences import write_differences
from knobs import list_fields, make_table

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

Each method's page has a figure and its numbers on the embedded study: real 8x8 digits
(scikit-learn), ResNet-8, 12 epochs, 6 epochs of retraining, seeds 0, 1 and 2, in bf16 on two CPU
cores, 2026-11-21. All methods have their default knobs, except that `lottery_ticket` visits the
study's sparsities in rounds of at most 60 %, and `hrank` trains 2 epochs after each layer.
`dense_longer`, measured 2026-11-29, trains 72 epochs, as many as the lottery tickets in all.
Numbers of post-training methods are those after batch-norm recalibration.

```sh
make study                                                       # the study
python docs/generate/digits.py studies/digits > docs/digits.csv  # the numbers
```

With three seeds and a data set this easy, most differences above 90 % accuracy are not separable.
The figures show the shape of a method's sparsity curve; they rank nothing. For that, run a study of
your own.
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


def write_page(name: str, table: pd.DataFrame) -> str:
    """The page of a method.

    Args:
        table: as `digits.tabulate` makes it; a method without rows in it has a page without a
            figure.
    """
    kind = registry.find_method_class(name)
    card = kind.card
    properties = {
        "Name in a study": f"`{name}`",
        "Kind": card.kind,
        "Paper": link_papers(card.paper),
        "Starts from": STARTS[kind.starts_from],
        "Sparsity": REACHES[kind.reaches] if kind.prunes else "none",
        "Cost": card.cost,
        "Use it when": card.when,
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
    if len(cells := table[table["method"] == name]):
        lines += _write_results(name, cells)
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


def _write_results(name: str, cells: pd.DataFrame) -> list[str]:
    lines = [
        "## On the embedded study",
        "",
        f"![Accuracy against sparsity]({name}.svg)",
        "",
        "| sparsity | test top-1 (%) | n |",
        "|---|---|---|",
    ]
    rows = (
        cells.sort_values("sparsity")[["sparsity", "mean", "half_width", "n"]].to_numpy().tolist()
    )
    lines += [
        f"| {100 * sparsity:.4g} % | {mean:.2f} ± {half:.2f} | {n:g} |"
        for sparsity, mean, half, n in rows
    ]
    how = (
        "8x8 digits, ResNet-8, 12 epochs and 6 of retraining: "
        "[how it was measured](../methods.md#the-figures)"
    )
    return [*lines, "", f"Mean over seeds ± half width of the 95 % Student t-interval; {how}.", ""]
