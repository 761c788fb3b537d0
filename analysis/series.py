"""The series of a study and its settings: what each is called, its place in the order, and its
style.

A series is a method with its knobs at one stage: one line of a figure, some rows of a table.
Colours and markers belong to the method, see `analysis.method_styles`.
"""

import json
from collections import Counter
from dataclasses import dataclass, replace
from zlib import crc32

import pandas as pd

from analysis.columns import SERIES, SETTING
from analysis.method_styles import NO_CARDS, Cards, Marker, find_method_styles
from trainables.storage import layout

STAGES = ["raw", "recalibrated", "finetuned", "reinitialised", "final"]


@dataclass(frozen=True)
class Series:
    """A method with its knobs at one stage. `variant` counts the series that share a colour and a
    marker: those of one method, and of further methods where spare looks have run out."""

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
    """What one figure holds fixed: data set, model and recipe. `slug` is for file names."""

    dataset: str
    model: str
    recipe: str
    label: str
    slug: str


def find_series(cells: pd.DataFrame, cards: Cards = NO_CARDS) -> list[Series]:
    """All series of some cells, in the order of legends and tables; call it with the cells of the
    whole study, so that a series has the same style in all figures."""
    names = list(cells[SERIES].drop_duplicates().itertuples(index=False, name=None))
    styles = find_method_styles({method for method, _, _ in names}, cards)
    order = list(styles)
    names.sort(
        key=lambda name: (order.index(name[0]), name[1] != "{}", name[1], rank_stage(name[2]))
    )
    looks = {method: (style.colour, style.marker) for method, style in styles.items()}
    series: list[Series] = []
    for method, knobs, stage in names:
        siblings = [name for name in names if name[0] == method]
        remarks = _list_distinguishing(knobs, {sibling[1] for sibling in siblings})
        # The stages of the same knobs are among those of the method.
        if len({sibling[2] for sibling in siblings}) > 1:
            remarks.append(stage)
        style = styles[method]
        label = _add_remarks(style.title, remarks)
        # The last stage is the result, so it gets the plainest line of those with the same knobs.
        backwards = siblings[::-1]
        plainest = sorted(backwards, key=lambda sibling: (sibling[1] != "{}", sibling[1]))
        # Methods that share a look, where there are more than spare looks, continue its variants.
        before = [name for name in names if order.index(name[0]) < order.index(method)]
        shared = sum(looks[name[0]] == looks[method] for name in before)
        variant = shared + plainest.index((method, knobs, stage))
        series.append(
            Series(method, knobs, stage, label, style.family, style.colour, style.marker, variant)
        )
    return series


def find_settings(cells: pd.DataFrame) -> list[Setting]:
    """All settings of some cells, sorted by name; the recipe is only named where it tells two of
    them apart."""
    names = sorted(cells[SETTING].drop_duplicates().itertuples(index=False, name=None))
    settings = []
    for dataset, model, recipe in names:
        recipes = {name[2] for name in names if name[:2] == (dataset, model)}
        parts = [dataset, model, *_list_distinguishing(recipe, recipes)]
        if len(recipes) > 1 and len(parts) == 2:
            parts.append("default recipe")
        slug = layout.make_file_name("-".join(parts))
        settings.append(Setting(dataset, model, recipe, ", ".join(parts), slug))
    return _tell_apart(settings)


def _tell_apart(settings: list[Setting]) -> list[Setting]:
    """Settings whose slugs differ, also where case and underscores do not count."""
    counts = Counter(_fold(setting.slug) for setting in settings)
    return [
        setting
        if counts[_fold(setting.slug)] == 1
        else replace(setting, slug=f"{setting.slug}-{crc32(setting.label.encode()):08x}")
        for setting in settings
    ]


def _fold(slug: str) -> str:
    return slug.replace("_", "-").lower()


def select_rows(frame: pd.DataFrame, identity: Series | Setting) -> pd.DataFrame:
    """The rows of a frame that belong to a series or a setting."""
    chosen = pd.Series(True, index=frame.index)
    for column in SERIES if isinstance(identity, Series) else SETTING:
        chosen &= frame[column] == getattr(identity, column)
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
    return [f"{name}={value}" for name, value in _flatten_json(knobs).items()]


def flatten(nested: object, name: str = "") -> dict[str, str]:
    """A mapping without nesting: names joined by dots, values as JSON, texts unquoted."""
    if isinstance(nested, dict) and nested:
        parts = [
            flatten(value, f"{name}.{key}" if name else str(key)) for key, value in nested.items()
        ]
        return {path: value for part in parts for path, value in part.items()}
    if not name:
        return {}
    return {name: nested if isinstance(nested, str) else json.dumps(nested, default=str)}


def rank_stage(stage: str) -> tuple[int, str]:
    """The place of a stage in the order in which a trial passes them; unknown ones come last,
    sorted by name."""
    return (STAGES.index(stage) if stage in STAGES else len(STAGES), stage)


def _flatten_json(text: str) -> dict[str, str]:
    """A JSON object without nesting, with sorted keys; other text under the name `setting`."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if not isinstance(value, dict):
        return flatten({"setting": value})
    return flatten(json.loads(json.dumps(value, sort_keys=True)))


def _add_remarks(title: str, remarks: list[str]) -> str:
    """A title and remarks on it in one pair of brackets."""
    if not remarks:
        return title
    start = f"{title[:-1]}, " if title.endswith(")") else f"{title} ("
    return f"{start}{', '.join(remarks)})"


def _list_distinguishing(text: str, texts: set[str]) -> list[str]:
    """The values in a JSON object, as `name=value`, that at least one of some objects has
    otherwise or not at all."""
    others = [_flatten_json(other) for other in texts]
    return [
        f"{name}={value}"
        for name, value in _flatten_json(text).items()
        if any(name not in other or other[name] != value for other in others)
    ]
