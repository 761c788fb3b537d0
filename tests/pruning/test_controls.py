"""Controls: what each keeps of the method it controls, what it loses, and which methods it refuses.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

import pruning.methods
from models.model_registry import build as build_model
from pruning.masks import all_kept, keep_best, prunable
from pruning.method import PruneInput
from pruning.phases import Measure, Prune, Reinitialise, Rewind, Setting, Train
from pruning.registry import build
from pruning.structured.shrink import shrink
from trainables.training.seeds import derive
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec, step_label

SETTING = Setting(train_epochs=10, retrain_epochs=4)
IMAGE = (1, 8, 8)
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

    def phases(self, sparsities, setting):
        return [*{prunes}, Train("train", setting.train_epochs, updates={updates}), Measure(sparsities[-1])]

    def scores(self, at):
        return {{name: weight.abs() for name, weight in at.weights.items()}}
'''


@pytest.fixture
def own_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Adds a method with its own name to the registry for one test."""
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
        while not isinstance(trial.course.phases[trial.steps[trial.step][0]], Train):
            trial.advance()
        return trial

    return walk


def fresh(seed: int, stream: str) -> nn.Module:
    """The whole network as drawn from a stream."""
    torch.manual_seed(derive(seed, stream))
    return build_model("resnet8", image=IMAGE, classes=10)


def dense_weights(trial: Trial, epoch: int) -> dict[str, Tensor]:
    return trial.course._dense_weights(epoch)


def magnitude_masks(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The masks of half of all weights, the largest of a state dict."""
    names = prunable(fresh(0, "any"))
    return keep_best({name: weights[name].abs() for name in names}, 0.5)


def test_each_control_prunes_as_its_method_and_trains_in_full() -> None:
    train, measure = Train("train", 10), Measure(0.9)
    assert build("shuffled", {}).phases((0.9,), SETTING) == [Prune(0.9), Rewind(0), train, measure]
    assert build("reinitialised", {}).phases((0.9,), SETTING) == [
        Prune(0.9),
        Reinitialise(),
        train,
        measure,
    ]
    assert build("small_from_scratch", {}).phases((0.9,), SETTING) == [
        Prune(0.9),
        Reinitialise(),
        train,
        measure,
    ]
    assert build("shuffled", {"of": "sparsegpt"}).phases((0.9,), SETTING) == [
        Prune(0.9),
        Rewind(0),
        train,
        measure,
    ]
    assert step_label(Reinitialise(), 0) == "draw weights anew"


def test_a_ticket_is_found_in_rounds_before_its_control_begins() -> None:
    ticket = build("lottery_ticket", {}).phases((0.6,), SETTING)
    rounds = sum(isinstance(phase, Prune) for phase in ticket)
    assert rounds > 2
    course = build("reinitialised", {"of": "lottery_ticket"}).phases((0.6,), SETTING)
    found = 3 * (rounds - 1) + 1
    assert course == [*ticket[:found], Reinitialise(), Train("train", 10), Measure(0.6, rounds)]


def test_measurements_of_the_controlled_method_are_left_out(own_method: Callable[..., str]) -> None:
    twice = own_method(
        "control_of_twice", prunes="[Prune(0.3), Measure(0.3), Prune(sparsities[-1], 2)]"
    )
    assert build("reinitialised", {"of": twice}).phases((0.9,), SETTING) == [
        *(Rewind(0), Prune(0.3), Prune(0.9, 2), Reinitialise(), Train("train", 10), Measure(0.9, 2))
    ]


def prune_input(model: nn.Module, *, seed: int, last: bool = True) -> PruneInput:
    return PruneInput(
        model=model,
        masks=all_kept(model),
        sparsity=0.7,
        generator=torch.Generator().manual_seed(seed),
        images=lambda count: iter(()),
        image=IMAGE,
        last=last,
    )


def test_a_shuffled_mask_keeps_as_many_weights_of_each_layer_but_others() -> None:
    model = fresh(0, "any")
    original = build("magnitude", {}).prune(prune_input(model, seed=1))
    method = build("shuffled", {})
    at = prune_input(model, seed=1)
    shuffled, again, other = (
        method.prune(a) for a in (at, prune_input(model, seed=1), prune_input(model, seed=2))
    )
    assert isinstance(original, dict) and isinstance(shuffled, dict)
    assert isinstance(again, dict) and isinstance(other, dict)
    assert at.notes == ["mask of magnitude, shuffled within layers"]
    for name, mask in original.items():
        assert shuffled[name].shape == mask.shape and shuffled[name].dtype == torch.bool
        assert shuffled[name].sum() == mask.sum() == other[name].sum()
        assert torch.equal(shuffled[name], again[name])
        # Two masks drawn apart share kept weights by chance only: density^2 of them, within 5
        # standard deviations.
        for one, two in ((shuffled[name], mask), (shuffled[name], other[name])):
            density, count = mask.double().mean().item(), mask.numel()
            slack = 5 * density * (1 - density) / (count - 1) ** 0.5
            assert abs((one & two).double().mean().item() - density**2) < slack + 1e-9


def test_only_the_last_mask_is_shuffled() -> None:
    model = fresh(0, "any")
    original = build("magnitude", {}).prune(prune_input(model, seed=1))
    early = build("shuffled", {}).prune(prune_input(model, seed=1, last=False))
    assert isinstance(original, dict) and isinstance(early, dict)
    assert all(torch.equal(early[name], mask) for name, mask in original.items())


def test_a_trial_knows_its_last_prune(
    walked: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, bool]] = []
    magnitude = type(build("lottery_ticket", {})).prune

    def prune(self: object, at: PruneInput) -> object:
        seen.append((at.level, at.last))
        return magnitude(self, at)  # type: ignore[arg-type]

    monkeypatch.setattr(type(build("lottery_ticket", {})), "prune", prune)
    trial = walked("shuffled", of="magnitude")
    spec = trial.spec.model_copy(update={"knobs": {"of": "lottery_ticket"}})
    Trial(spec, trial.environment).run()
    assert seen == [(1, False), (2, False), (3, False), (4, True)]


def test_shuffled_trains_the_initial_weights(walked: Callable[..., Trial]) -> None:
    trial = walked("shuffled")
    start, masks = dense_weights(trial, 0), trial.course.network.masks
    assert all(
        torch.equal(value, start[name]) for name, value in fresh(1, "init").state_dict().items()
    )
    original = magnitude_masks(dense_weights(trial, 1))
    assert [int(mask.sum()) for mask in masks.values()] == [
        int(original[name].sum()) for name in masks
    ]
    assert not all(torch.equal(mask, original[name]) for name, mask in masks.items())
    for name, value in trial.course.network.model.state_dict().items():
        assert torch.equal(value, start[name] * masks[name] if name in masks else start[name])


def test_reinitialised_keeps_the_mask_and_no_weight(walked: Callable[..., Trial]) -> None:
    trial = walked("reinitialised")
    drawn, start, masks = (
        fresh(1, "reinit").state_dict(),
        dense_weights(trial, 0),
        trial.course.network.masks,
    )
    original = magnitude_masks(dense_weights(trial, 1))
    assert all(torch.equal(mask, original[name]) for name, mask in masks.items())
    for name, value in trial.course.network.model.state_dict().items():
        assert torch.equal(value, drawn[name] * masks[name] if name in masks else drawn[name])
    assert not any(torch.equal(drawn[name], start[name]) for name in masks)


def test_small_from_scratch_keeps_the_widths_and_no_weight(walked: Callable[..., Trial]) -> None:
    trial = walked("small_from_scratch", of="l2_filter")
    model = fresh(1, "init")
    model.load_state_dict(dense_weights(trial, 1))
    at = PruneInput(
        model=model,
        masks=all_kept(model),
        sparsity=0.5,
        generator=torch.Generator(),
        images=lambda count: iter(()),
        image=IMAGE,
    )
    plan = build("l2_filter", {}).prune(at)
    assert not isinstance(plan, dict)
    (kept,) = trial.course.network.keeps
    assert all(torch.equal(kept[name], index) for name, index in plan.keep.items())  # type: ignore[union-attr]
    expected = shrink(fresh(1, "reinit"), kept, image=IMAGE).state_dict()
    now = trial.course.network.model.state_dict()
    assert (
        all(torch.equal(now[name], value) for name, value in expected.items())
        and now.keys() == expected.keys()
    )
    trial.run()
    assert trial.course.rows[-1]["sparsity_reached"] == pytest.approx(0.5, abs=0.03)


def test_a_method_that_prunes_initial_weights_is_given_them(
    walked: Callable[..., Trial], own_method: Callable[..., str]
) -> None:
    name = own_method("control_of_initial")
    assert build("reinitialised", {"of": name}).phases((0.9,), SETTING) == [
        *(Rewind(0), Prune(0.9), Reinitialise(), Train("train", 10), Measure(0.9))
    ]
    trial = walked("reinitialised", of=name)
    original = magnitude_masks(fresh(1, "init").state_dict())
    assert all(
        torch.equal(mask, original[name]) for name, mask in trial.course.network.masks.items()
    )


def test_what_a_control_cannot_take_is_refused_with_the_names_it_can(
    own_method: Callable[..., str],
) -> None:
    def refusal(control: str, of: str) -> str:
        with pytest.raises(ValidationError) as caught:
            build(control, {"of": of})
        return str(caught.value.errors()[0]["msg"])

    message = refusal("shuffled", "l1_filter")
    assert "'l1_filter' is structured, not unstructured; there are: " in message
    fitting = message.split("there are: ")[1].split(", ")
    assert {"magnitude", "lottery_ticket", "sparsegpt"} <= set(fitting)
    assert not {"random", "shuffled", "hrank", "dense", "l1_filter"} & set(fitting)
    assert "'magnitude' is unstructured, not structured; there are: " in refusal(
        "small_from_scratch", "magnitude"
    )
    assert "'hrank' prunes layer by layer" in refusal("small_from_scratch", "hrank")
    assert "'shuffled' is control" in refusal("reinitialised", "shuffled")
    assert "no method 'magnitud'; did you mean 'magnitude'?" in refusal("shuffled", "magnitud")
    moving = own_method("control_of_moving", updates=True)
    assert "changes masks while training" in refusal("shuffled", moving)
    free = own_method("control_of_free", reaches="own")
    assert "does not prune to a requested sparsity" in refusal("reinitialised", free)
    idle = own_method("control_of_idle", prunes="[]")
    assert "has no prune" in refusal("reinitialised", idle)
