"""Lottery tickets with the output layer at half the rate, and the two controls that share their
rounds.

Covers: pruning/methods/reinitialised_ticket.py, pruning/methods/random_ticket.py.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

from pruning.masks import all_kept, kept_count, prunable
from pruning.method import PruneInput
from pruning.phases import Measure, PhaseContext, Prune, Reinitialise, Rewind, Train
from pruning.registry import build_method
from trainables.environment import Environment
from trainables.network import Network
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec, dense_spec

torch.set_num_threads(1)
CONTEXT = PhaseContext(train_epochs=10, retrain_epochs=4)
PAPER = {"levels": 3, "scope": "layer", "output_rate": "half"}
RECIPE = Recipe(epochs=1, batch=600, lr=0.02, augment="none", precision="fp32", compile=False)


def spec(method: str, **knobs: Any) -> TrialSpec:
    trials = build_method(method, knobs).trials(())
    return TrialSpec(
        dataset="digits",
        model="lenet_300_100",
        method=method,
        knobs=knobs,
        sparsities=trials[0],
        seed=5,
        recipe=RECIPE,
    )


# Round, and the percentage of the weights of LeNet-300-100 that is left, as the paper names its
# networks: 20 % a round, 10 % of the output layer.
@pytest.mark.parametrize(
    ("round_", "left"), [(1, 80.0), (3, 51.3), (7, 21.1), (9, 13.5), (15, 3.6), (18, 1.9)]
)
def test_half_the_rate_leaves_what_the_paper_says(round_: int, left: float) -> None:
    method = build_method("lottery_ticket", PAPER | {"levels": round_})
    sparsity = method.trials(())[0][-1]
    own = method.output_sparsity(sparsity)
    assert own is not None and 1 - own == pytest.approx(0.9**round_, rel=1e-9)
    sizes = {"fc1": 235_200, "fc2": 30_000, "fc3": 1_000}
    others = kept_count(sparsity, sizes["fc1"] + sizes["fc2"])
    kept = others + kept_count(own, sizes["fc3"])
    assert round(100 * kept / sum(sizes.values()), 1) == pytest.approx(left, abs=0.051)


def test_without_the_knob_no_layer_is_set_apart() -> None:
    assert build_method("lottery_ticket", {}).output_sparsity(0.8) is None
    assert build_method("magnitude", {}).output_sparsity(0.8) is None


def test_the_network_gives_the_last_layer_its_sparsity_unless_the_study_does() -> None:
    def fixed(**more: Any) -> dict[str, float]:
        given = spec("lottery_ticket", **PAPER).model_copy(update=more)
        return Network(given, (1, 8, 8), 10, torch.device("cpu")).fixed_sparsities(0.488)

    assert fixed() == {"fc3.weight": pytest.approx(1 - 0.9**3)}
    at_the_end = 1 - 0.8**3
    assert fixed(layer_sparsity={"fc3": 0.1}) == {
        "fc3.weight": pytest.approx(0.1 * 0.488 / at_the_end)
    }
    assert fixed(exclude=("fc3",)) == {}


def test_the_reinitialised_ticket_leaves_the_rounds_as_they_are() -> None:
    phases = build_method("reinitialised_ticket", {"levels": 2}).phases((0.2, 0.36), CONTEXT)
    train = Train("train", 10)
    assert phases == [
        *(Prune(0.2, 1), Reinitialise("reinit 1"), train, Measure(0.2, 1), Rewind(0), train),
        *(Prune(0.36, 2), Reinitialise("reinit 2"), train, Measure(0.36, 2)),
    ]


def test_rounds_without_a_measurement_train_the_ticket_alone() -> None:
    phases = build_method("reinitialised_ticket", {"levels": "sparsities"}).phases((0.36,), CONTEXT)
    train = Train("train", 10)
    (target,) = {phase.sparsity for phase in phases if isinstance(phase, Prune)} - {0.36}
    assert phases == [
        *(Prune(target, 1), Rewind(0), train),
        *(Prune(0.36, 2), Reinitialise("reinit 2"), train, Measure(0.36, 2)),
    ]


def test_a_random_ticket_keeps_as_many_weights_of_every_layer_but_others() -> None:
    network = Network(spec("random_ticket", **PAPER), (1, 8, 8), 10, torch.device("cpu"))

    def prune(method: str, seed: int) -> dict[str, torch.Tensor]:
        given = PruneInput(
            model=network.model,
            masks=all_kept(network.model),
            sparsity=0.488,
            generator=torch.Generator().manual_seed(seed),
            images=lambda count: iter(()),
            image=(1, 8, 8),
            fixed=network.fixed_sparsities(0.488),
        )
        masks = build_method(method, PAPER).prune(given)
        assert isinstance(masks, dict)
        return masks

    ticket, drawn, again, other = (
        prune(*of)
        for of in (
            ("lottery_ticket", 1),
            *(("random_ticket", seed) for seed in (1, 1, 2)),
        )
    )
    for name, mask in ticket.items():
        assert drawn[name].sum() == mask.sum() == other[name].sum()
        assert torch.equal(drawn[name], again[name])
        for one, two in ((drawn[name], mask), (drawn[name], other[name])):
            density, count = mask.double().mean().item(), mask.numel()
            slack = 5 * density * (1 - density) / (count - 1) ** 0.5
            assert abs((one & two).double().mean().item() - density**2) < slack + 1e-9


@pytest.mark.parametrize("method", ["lottery_ticket", "reinitialised_ticket", "random_ticket"])
def test_a_trial_reaches_the_layer_sparsities_exactly(method: str, tmp_path: Path) -> None:
    environment = Environment(store=str(tmp_path))
    asked = spec(method, **PAPER)
    Trial(dense_spec(asked, (0,)), environment).run()
    trial = Trial(asked, environment)
    trial.run()
    kept: dict[int, dict[str, int]] = {}
    for row in trial.records.layers:
        kept.setdefault(row["level"], {})[row["layer"]] = row["nonzero"]
    sizes = {name: w.numel() for name, w in prunable(trial.runner.network.model).items()}
    others = sizes["fc1.weight"] + sizes["fc2.weight"]
    for level, of_layer in kept.items():
        assert of_layer["fc3.weight"] == round(0.9**level * 1_000)
        assert of_layer["fc1.weight"] + of_layer["fc2.weight"] == round(0.8**level * others)
        assert of_layer["fc2.weight"] == pytest.approx(0.8**level * 30_000, abs=1)
    rows = trial.records.rows
    assert [row["sparsity"] for row in rows] == [pytest.approx(1 - 0.8**k) for k in (1, 2, 3)]
    # The rounds of the ticket, and beside each but the last the training of its control.
    trainings = 5 if method == "reinitialised_ticket" else 3
    assert rows[-1]["epochs"] == trainings


def test_the_masks_of_the_reinitialised_ticket_are_those_of_the_ticket(tmp_path: Path) -> None:
    environment = Environment(store=str(tmp_path))
    ticket, control = spec("lottery_ticket", **PAPER), spec("reinitialised_ticket", **PAPER)
    Trial(dense_spec(ticket, (0,)), environment).run()
    found = []
    for asked in (ticket, control):
        trial = Trial(asked, environment)
        trial.run()
        found.append((trial.runner.network.masks, trial.runner.network.model.state_dict()))
    (masks, weights), (others, drawn) = found
    assert all(torch.equal(masks[name], others[name]) for name in masks)
    assert not torch.equal(weights["fc1.weight"], drawn["fc1.weight"])


def test_a_ticket_measures_its_mask_on_drawn_weights_before_it_is_trained_itself() -> None:
    method = build_method("lottery_ticket", {"levels": 2, "beside": "reinitialised"})
    train = Train("train", 10)
    drawn = [
        (Reinitialise(f"reinit {k}"), train, Measure(1 - 0.8**k, k, stage="reinitialised"))
        for k in (1, 2)
    ]
    sparsities = (1 - 0.8, 1 - 0.8**2)
    assert method.phases(sparsities, CONTEXT) == [
        *(Prune(sparsities[0], 1), *drawn[0], Rewind(0), train, Measure(sparsities[0], 1)),
        *(Prune(sparsities[1], 2), *drawn[1], Rewind(0), train, Measure(sparsities[1], 2)),
    ]


def test_rounds_that_are_not_measured_draw_nothing() -> None:
    knobs = {"levels": "sparsities", "beside": "reinitialised"}
    phases = build_method("lottery_ticket", knobs).phases((0.36,), CONTEXT)
    assert sum(isinstance(phase, Reinitialise) for phase in phases) == 1
    assert sum(isinstance(phase, Prune) for phase in phases) == 2


def test_new_weights_need_weights_to_rewind_to() -> None:
    with pytest.raises(ValueError, match="choose retrain: weight_rewind"):
        build_method("lottery_ticket", {"beside": "reinitialised", "retrain": "lr_rewind"})
    for control in ("reinitialised_ticket", "random_ticket"):
        with pytest.raises(ValueError, match="beside"):
            build_method(control, {"beside": "reinitialised"})


def test_both_stages_of_one_trial_are_the_rows_of_the_two_methods_apart(tmp_path: Path) -> None:
    environment = Environment(store=str(tmp_path))
    knobs = PAPER | {"levels": 2}
    Trial(dense_spec(spec("lottery_ticket", **knobs), (0,)), environment).run()
    rows = {}
    for method, more in (
        ("lottery_ticket", {"beside": "reinitialised"}),
        ("lottery_ticket", {}),
        ("reinitialised_ticket", {}),
    ):
        trial = Trial(spec(method, **knobs, **more), environment)
        trial.run()
        rows[method, bool(more)] = trial.records.rows
    both = rows["lottery_ticket", True]
    assert [(row["level"], row["stage"]) for row in both] == [
        *((1, "reinitialised"), (1, "final"), (2, "reinitialised"), (2, "final"))
    ]
    same = ("digest", "test_loss", "test_top1", "sparsity", "zeros")
    apart = (rows["reinitialised_ticket", False], rows["lottery_ticket", False])
    for of_stage, of_method in zip((both[0::2], both[1::2]), apart, strict=True):
        for one, other in zip(of_stage, of_method, strict=True):
            assert [one[name] for name in same] == [other[name] for name in same]
    assert [row["epochs"] for row in both] == [1, 2, 3, 4]
