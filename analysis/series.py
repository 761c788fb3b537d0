"""The lines of a figure and the rows of a table: what each is called, its place in the order, and
how it looks.

A series is a method with its knobs at one stage. Colours and markers belong to the method, see
`looks`.
"""

import json
import re
from dataclasses import dataclass

import pandas as pd

from analysis.method_styles import NO_CARDS, Cards, Marker, find_looks
from analysis.statistics.aggregate import SERIES, SETTING

STAGES = ["raw", "recalibrated", "finetuned", "final"]


@dataclass(frozen=True)
class Series:
    """One line of a figure. `variant` counts the series of one method, which share its colour and
    marker."""

    method: str
    knobs: str
    stage: str
    label: str
    family: str
    colour: str
    marker: Marker
    variant: int


@dataclass(frozen=True)
class Setting:
    """What one figure holds fixed: data set, model and recipe. `slug` is its part of a file name.
    """

    dataset: str
    model: str
    recipe: str
    label: str
    slug: str


def find_series(cells: pd.DataFrame, cards: Cards = NO_CARDS) -> list[Series]:
    """All series of a summary, in the order of legends and tables; call it with the whole study for
    stable looks."""
    ids = list(cells[SERIES].drop_duplicates().itertuples(index=False, name=None))
    looks = find_looks({method for method, _, _ in ids}, cards)
    names = list(looks)
    ids.sort(key=lambda one: (names.index(one[0]), one[1] != "{}", one[1], rank_stage(one[2])))
    series: list[Series] = []
    for method, knobs, stage in ids:
        siblings = [one for one in ids if one[0] == method]
        remarks = _tell_apart(knobs, {one[1] for one in siblings})
        if (
            len({one[2] for one in siblings if one[1] == knobs}) > 1
            or len({one[2] for one in siblings}) > 1
        ):
            remarks.append(stage)
        look = looks[method]
        label = _join(look.title, remarks)
        # The last stage is the result, so it gets the plainest line of those with the same knobs.
        backwards = siblings[::-1]
        plainest = sorted(backwards, key=lambda one: (one[1] != "{}", one[1]))
        variant = plainest.index((method, knobs, stage))
        series.append(
            Series(method, knobs, stage, label, look.family, look.colour, look.marker, variant)
        )
    return series


def find_settings(cells: pd.DataFrame) -> list[Setting]:
    """All settings of a summary, by name; the recipe is only named where it tells two of them
    apart."""
    ids = sorted(cells[SETTING].drop_duplicates().itertuples(index=False, name=None))
    settings = []
    for dataset, model, recipe in ids:
        recipes = {one[2] for one in ids if one[:2] == (dataset, model)}
        parts = [dataset, model, *_tell_apart(recipe, recipes)]
        if len(recipes) > 1 and len(parts) == 2:
            parts.append("default recipe")
        slug = re.sub(r"[^a-zA-Z0-9_.]+", "-", "-".join(parts)).strip("-")
        settings.append(Setting(dataset, model, recipe, ", ".join(parts), slug))
    return settings


def select(frame: pd.DataFrame, one: Series | Setting) -> pd.DataFrame:
    """The rows of a frame that belong to a series or a setting."""
    chosen = pd.Series(True, index=frame.index)
    for column in SERIES if isinstance(one, Series) else SETTING:
        chosen &= frame[column] == getattr(one, column)
    return frame[chosen]


def format_sparsity(sparsity: float) -> str:
    """A sparsity in percent with as many decimals as it needs, at most what three digits of the
    density take."""
    density = max(100 * (1 - sparsity), 1e-6)
    decimals = 2 if density >= 0.1 else 3 if density >= 0.01 else 4
    text = f"{100 * sparsity:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_knobs(knobs: str) -> list[str]:
    """Knobs as `name=value`, nested ones as `a.b=value`; text that is not a JSON object stays as it
    is."""
    return [f"{name}={value}" for name, value in _flatten(knobs).items()]


def _join(title: str, remarks: list[str]) -> str:
    """A title and remarks on it in one pair of brackets."""
    if not remarks:
        return title
    lead = f"{title[:-1]}, " if title.endswith(")") else f"{title} ("
    return f"{lead}{', '.join(remarks)})"


def _tell_apart(own: str, all_of_them: set[str]) -> list[str]:
    """The settings in `own` that at least one of the others has otherwise."""
    others = [_flatten(text) for text in all_of_them]
    return [
        f"{name}={value}"
        for name, value in _flatten(own).items()
        if any(other.get(name, _ABSENT) != value for other in others)
    ]


_ABSENT = object()


def _flatten(text: str) -> dict[str, object]:
    """A JSON object without nesting, keys joined by dots, values as they are written in JSON (texts
    unquoted)."""
    try:
        found = json.loads(text)
    except ValueError:
        found = text
    if not isinstance(found, dict):
        return {"setting": found}
    flat: dict[str, object] = {}

    def walk(value: object, name: str) -> None:
        if isinstance(value, dict) and value:
            for key in sorted(value):
                walk(value[key], f"{name}.{key}" if name else str(key))
        elif name:
            flat[name] = value if isinstance(value, str) else json.dumps(value)

    walk(found, "")
    return flat


def rank_stage(stage: str) -> tuple[int, str]:
    """The place of a stage in the course of a trial; unknown ones come last, by name."""
    return (STAGES.index(stage) if stage in STAGES else len(STAGES), stage)
