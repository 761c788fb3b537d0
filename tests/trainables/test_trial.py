"""What a trial does between its steps, seen from inside."""

from collections.abc import Callable

import pytest
import torch

from pruning.masks import prunable
from pruning.phases import Prune, Rewind, Train
from pruning.seeds import derive_seed
from trainables.storage.local_disk import Disk
from trainables.training.learning_rate import learning_rate
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec, dense_spec

RECIPE = Recipe(epochs=2, batch=400, lr=0.05, precision="fp32", augment="none")

SMALL = "tests.contract.small_networks:residual"


def ticket(**knobs: int | str) -> TrialSpec:
    return TrialSpec(
        dataset="digits",
        model=SMALL,
        method="lottery_ticket",
        knobs={"levels": 2, **knobs},
        sparsities=(0.2, 0.36),
        seed=5,
        recipe=RECIPE,
    )


def test_a_lottery_ticket_rewinds_weights_and_buffers_and_keeps_its_mask(
    open_trial: Callable[..., Trial],
) -> None:
    open_trial(dense_spec(ticket())).run()
    trial = open_trial(ticket())
    torch.manual_seed(derive_seed(5, "init"))
    from models.model_registry import build_model

    initial = build_model(SMALL, image=(1, 8, 8), classes=10).state_dict()
    rewound = 0
    while not trial.done:
        phase = trial.runner.phases[trial.steps[trial.step][0]]
        trial.advance()
        if isinstance(phase, Rewind):
            rewound += 1
            weights = prunable(trial.runner.network.model)
            for name, value in trial.runner.network.model.state_dict().items():
                mask = (
                    trial.runner.network.masks[name] if name in weights else torch.ones_like(value)
                )
                assert torch.equal(value, initial[name] * mask), name
    assert rewound == 2


def test_a_ticket_is_chosen_by_the_weights_at_the_end_of_the_level_before(
    open_trial: Callable[..., Trial],
) -> None:
    open_trial(dense_spec(ticket())).run()
    trial = open_trial(ticket())
    while not trial.done:
        phase = trial.runner.phases[trial.steps[trial.step][0]]
        weights = {
            n: w.detach().abs().clone() for n, w in prunable(trial.runner.network.model).items()
        }
        trial.advance()
        if isinstance(phase, Prune):
            masks = trial.runner.network.masks
            kept = torch.cat([weights[name][masks[name]] for name in weights])
            gone = torch.cat([weights[name][~masks[name]] for name in weights])
            assert kept.min() >= gone.max()


def test_late_rewinding_goes_on_from_that_epoch_with_its_data_order_and_rate(
    open_trial: Callable[..., Trial],
) -> None:
    spec = ticket(rewind_to=1)
    open_trial(dense_spec(spec, (1,))).run()
    trial = open_trial(spec)
    trial.run()
    starts = [phase.start for phase in trial.runner.phases if isinstance(phase, Train)]
    assert starts == [1, 1]
    rates = {curve["lr"] for curve in trial.records.curves}
    assert rates == {learning_rate(RECIPE, 1 + 3 / 4)}, (
        "batches of 400 of 1,295 images: the last step is the fourth"
    )


def test_a_trial_goes_on_where_a_network_disk_does_not_list_its_checkpoints_yet(
    open_trial: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on another machine, a moment after its worker died."""
    spec = dense_spec(ticket())
    trial = open_trial(spec, checkpoint_seconds=0)
    trial.advance()
    monkeypatch.setattr(Disk, "list", lambda disk, folder: [])
    assert open_trial(spec).position == trial.position > 0


def test_dropout_is_drawn_from_the_step_so_that_equal_trials_are_equal(
    open_trial: Callable[..., Trial],
) -> None:
    model = "tests.networks.for_ranks:with_dropout"
    spec = TrialSpec(dataset="digits", model=model, method="dense", seed=1, recipe=RECIPE)
    torch.manual_seed(123)
    first = open_trial(spec)
    first.run()
    digest = first.records.rows[0]["digest"]
    first.store.delete("rows")
    torch.manual_seed(99)
    again = open_trial(spec)
    again.run()
    assert again.records.rows[0]["digest"] == digest


def test_a_child_without_its_parent_says_what_is_missing(open_trial: Callable[..., Trial]) -> None:
    import pytest

    from trainables.dense_weights import DenseWeightsMissing

    with pytest.raises(
        DenseWeightsMissing, match=r"dense/s0.000/seed5-.* holds no valid weights of epoch 2"
    ):
        open_trial(ticket())


def test_validation_images_can_train_and_the_best_test_epoch_has_its_own_column(
    open_trial: Callable[..., Trial],
) -> None:
    recipe = RECIPE.model_copy(update={"hold_out": False, "record_best_test": True})
    trial = open_trial(
        TrialSpec(dataset="digits", model="mlp", method="dense", seed=1, recipe=recipe)
    )
    trial.run()
    row = trial.records.rows[0]
    assert row["val_top1"] is None
    assert row["best_epoch_test_top1"] >= row["test_top1"]
    assert trial.runner.loader.count("training") == 1438
