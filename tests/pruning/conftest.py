"""Methods made for one test, and control trials just before their training."""

from collections.abc import Callable
from pathlib import Path

import pytest

import pruning.methods
from pruning.phases import Train
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

RECIPE = {"epochs": 1, "batch": 400, "precision": "fp32", "augment": "none"}

METHOD_FILE = '''
"""A method of the test's own."""
from pruning.method import Card, Method
from pruning.phases import Measure, Prune, Train


class Mine(Method):
    """Keeps the largest of the weights it is given."""

    card = Card(title="t", paper="p", summary="s", kind="{kind}", cost="c", when="w")
    starts_from = "init"
    reaches = "{reaches}"

    def phases(self, sparsities, context):
        return [
            *{prunes},
            Train("train", context.train_epochs, updates={updates}),
            Measure(sparsities[-1]),
        ]

    def scores(self, inputs):
        return {{name: weight.abs() for name, weight in inputs.weights.items()}}
'''


@pytest.fixture
def add_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Adds a method of a given name and kind to the registry for one test."""
    monkeypatch.setattr(
        pruning.methods, "__path__", [*pruning.methods.__path__, str(tmp_path / "plug")]
    )
    (tmp_path / "plug").mkdir()

    def add(
        name: str,
        *,
        kind: str = "unstructured",
        reaches: str = "exact",
        updates: bool = False,
        prunes: str = "[Prune(sparsities[-1])]",
    ) -> str:
        text = METHOD_FILE.format(kind=kind, reaches=reaches, updates=updates, prunes=prunes)
        (tmp_path / "plug" / f"{name}.py").write_text(text)
        return name

    return add


@pytest.fixture
def walked(open_trial: Callable[..., Trial]) -> Callable[..., Trial]:
    """A control's trial on digits after the step before its training, the dense training of its
    seed being there."""

    def walk(method: str, *, of: str | None = None, seed: int = 1) -> Trial:
        shared = {"dataset": "digits", "model": "resnet8", "seed": seed, "recipe": RECIPE}
        open_trial(
            TrialSpec.model_validate({**shared, "method": "dense", "rewind_epochs": (0,)})
        ).run()
        knobs = {"of": of} if of else {}
        trial = open_trial(
            TrialSpec.model_validate(
                {**shared, "method": method, "knobs": knobs, "sparsities": (0.5,)}
            )
        )
        while not isinstance(trial.runner.phases[trial.steps[trial.step][0]], Train):
            trial.advance()
        return trial

    return walk
