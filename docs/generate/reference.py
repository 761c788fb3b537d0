"""The reference of study and search files, made from the models that check them."""

from __future__ import annotations

import inspect
import typing

from knobs import list_fields, make_table, title
from pydantic import BaseModel

from sweeps.search.search_spec import SearchSpec
from sweeps.study_file.study import StudySpec

FILLED = {("StudySpec", "retrain"): "as `recipe`"}  # defaults that a model works out itself


def write_fields() -> str:
    """Every model that a study or a search is made of, with all fields."""
    lines: list[str] = []
    for model in dict.fromkeys([*_find_parts(StudySpec), *_find_parts(SearchSpec)]):
        rows = [
            (name, kind, FILLED.get((model.__name__, name), default), meaning)
            for name, kind, default, meaning in list_fields(model)
        ]
        lines += [
            f"### {title(model)}",
            "",
            inspect.cleandoc(model.__doc__ or ""),
            "",
            *make_table(rows),
            "",
        ]
    return "\n".join(lines)


def _find_parts(model: type[BaseModel]) -> list[type[BaseModel]]:
    """A model and the models of its fields, each once, in the order in which they are met."""
    parts = [model]
    for part in parts:
        for field in part.model_fields.values():
            parts += [new for new in _find_models(field.annotation) if new not in parts]
    return parts


def _find_models(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in typing.get_args(annotation) for model in _find_models(inner)]
