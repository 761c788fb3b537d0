"""What pydantic finds wrong, in the words of a user: the place, the rule, the value, the fix."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pruning.validation_errors import describe_validation_error, find_field


class Recipe(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    epochs: Annotated[int, Field(ge=1, le=100)] = 1
    lr: Annotated[float, Field(gt=0, lt=1)] = 0.1
    levels: int | Literal["all"] = 1
    nesterov: bool = False
    kind: Literal["sgd", "adam"] = "sgd"


class Published(BaseModel):
    sparsity: float = 0.5


class Study(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = "x"
    recipe: Recipe = Recipe()
    retrain: Recipe = Recipe()
    seeds: Annotated[list[int], Field(min_length=1)] = [0]
    milestones: tuple[float, ...] = ()
    published: list[Published] = []


def told(model: type[BaseModel] = Study, **given: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(given)
    return describe_validation_error(caught.value, model=model)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"recipe": {"epochs": "ten"}}, "recipe.epochs: must be a whole number, but got 'ten'"),
        ({"recipe": {"epochs": 1.5}}, "recipe.epochs: must be a whole number, but got 1.5"),
        ({"recipe": {"epochs": 0}}, "recipe.epochs: must be at least 1, but got 0"),
        ({"recipe": {"epochs": 101}}, "recipe.epochs: must be at most 100, but got 101"),
        ({"recipe": {"epochs": None}}, "recipe.epochs: must be a whole number, but got nothing"),
        ({"recipe": {"lr": 0}}, "recipe.lr: must be above 0, but got 0"),
        ({"recipe": {"lr": 1}}, "recipe.lr: must be below 1, but got 1"),
        ({"recipe": {"lr": "0,1"}}, "recipe.lr: must be a number, but got '0,1': write 0.1"),
        ({"recipe": {"lr": "10%"}}, "recipe.lr: must be a number, but got '10%': write 0.1"),
        ({"recipe": {"lr": "fast"}}, "recipe.lr: must be a number, but got 'fast'"),
        ({"recipe": {"lr": float("inf")}}, "recipe.lr: must be a finite number, but got inf"),
        ({"recipe": {"levels": "some"}}, "must be a whole number or 'all', but got 'some'"),
        ({"recipe": {"nesterov": 3}}, "recipe.nesterov: must be true or false, but got 3"),
        ({"recipe": {"kind": "SGD"}}, "recipe.kind: must be 'sgd' or 'adam', but got 'SGD'"),
        ({"recipe": 5}, "recipe: must be a mapping of keys to values, but got 5"),
        ({"seeds": "0, 1"}, "seeds: must be a list, but got '0, 1': write [0, 1]"),
        ({"seeds": "range(3)"}, "seeds: must be a list, but got 'range(3)'"),
        ({"seeds": []}, "seeds: must have at least 1 entry, but got []"),
        ({"milestones": 3}, "milestones: must be a list, but got 3: write [3]"),
        ({"name": 7}, "name: must be a text, but got 7: write '7', in quotes"),
        ({"recipe": {1: None}}, "recipe: a key must be a word, but got 1: a comma ends a value, "),
    ],
)
def test_a_rule_is_said_in_plain_words(given: dict[str, Any], line: str) -> None:
    assert line in told(**given)
    assert not told(**given).endswith("more)")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"nam": "x"}, "unknown key 'nam'; did you mean 'name'?"),
        ({"Seeds": [1]}, "unknown key 'Seeds'; did you mean 'seeds'?"),
        ({"epochs": 3}, "unknown key 'epochs'; did you mean 'recipe.epochs'?"),
        ({"recipe": {"seeds": [1]}}, "unknown key 'recipe.seeds'; did you mean 'seeds'?"),
        ({"recipe": {"epoch": 3}}, "unknown key 'recipe.epoch'; did you mean 'epochs'?"),
        (
            {"recipe": {"epochs:2": None}},
            "unknown key 'recipe.epochs:2'; a space must follow the colon: 'epochs: 2'",
        ),
        ({"sparsity": 0.5}, "unknown key 'sparsity'; there are: name, recipe, retrain, seeds, "),
    ],
)
def test_an_unknown_key_names_the_field_that_was_meant(given: dict[str, Any], line: str) -> None:
    assert line in told(**given)


def test_a_value_that_is_inherited_is_one_fault() -> None:
    wrong = {"epochs": "ten", "epoch": 1}
    assert told(recipe=wrong, retrain=wrong).endswith("but got 'ten' (and 1 more)")
    wrong = {"lr": -1.0}
    assert told(recipe=wrong, retrain=wrong) == "recipe.lr: must be above 0, but got -1.0"
    assert told(recipe=wrong, retrain={"lr": -2.0}).endswith("-1.0 (and 1 more)")


def test_a_misspelt_key_comes_before_the_missing_one() -> None:
    class Strict(BaseModel):
        model_config = ConfigDict(extra="forbid")
        dataset: str
        seeds: list[int]

    line = "unknown key 'data_set'; did you mean 'dataset'?"
    assert told(Strict, data_set="digits", seeds=[0]) == line
    assert told(Strict, data_set="digits") == f"{line} (and 1 more)"
    assert told(Strict, dataset="digits") == "seeds is missing"


def test_a_field_is_found_by_its_name() -> None:
    assert find_field(Study, "seeds") == "seeds"
    assert find_field(Study, "lr") == "recipe.lr"
    assert find_field(Study, "sparsity") is None, "that of a list has no path"
