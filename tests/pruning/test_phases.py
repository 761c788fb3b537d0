"""The phases that methods list.

Covers: pruning/phases.py, pruning/methods/dense.py, pruning/methods/magnitude.py,
pruning/methods/lottery_ticket.py.
"""

import pytest

from pruning.phases import Measure, PhaseContext, Prune, Rewind, Train, retraining
from pruning.registry import build_method

CONTEXT = PhaseContext(train_epochs=10, retrain_epochs=4)


def test_ways_of_retraining() -> None:
    assert retraining("finetune", CONTEXT) == [Train("retrain", 4)]
    assert retraining("weight_rewind", CONTEXT, rewind_to=3) == [
        Rewind(3),
        Train("train", 10, start=3),
    ]
    assert retraining("lr_rewind", CONTEXT) == [Train("train", 10)]
    assert retraining("lr_rewind", CONTEXT, rewind_to=3) == [Train("train", 10, start=3)]
    with pytest.raises(ValueError, match="0 <= start <= end, but got 5 to 4"):
        Train("train", 4, start=5)
    with pytest.raises(ValueError, match=r"rewind_to must be in \[0, 10\]"):
        retraining("weight_rewind", CONTEXT, rewind_to=11)


def test_changes_of_a_recipe_come_at_their_epoch_or_at_the_same_fraction_of_another_length() -> (
    None
):
    plain, longer = Train("train", 10), Train("train", 25, length=25)
    assert [plain.recipe_epoch(epoch, 10) for epoch in (0, 5, 9)] == [0, 5, 9]
    assert [longer.recipe_epoch(epoch, 10) for epoch in (0, 12, 13, 24)] == [0, 4, 5, 9]
    shorter = Train("retrain", 15, length=15)
    assert [shorter.recipe_epoch(epoch, 50) for epoch in (0, 5, 6, 14)] == [0, 16, 20, 46]


def test_a_pruned_network_goes_back_to_the_epoch_it_is_told() -> None:
    method = build_method("magnitude", {"retrain": "weight_rewind", "rewind_to": 3})
    assert method.phases((0.5,), CONTEXT) == [
        Prune(0.5),
        Rewind(3),
        Train("train", 10, start=3),
        Measure(0.5),
    ]


def test_dense_stores_its_first_its_last_and_the_asked_for_weights() -> None:
    phases = build_method("dense", {}).phases(
        (0.0,), PhaseContext(train_epochs=10, retrain_epochs=4, rewind_epochs=(3,))
    )
    assert phases == [Train("train", 10, publish=(0, 3, 10)), Measure(0.0, level=0)]


def test_ten_levels_of_twenty_percent_end_at_a_density_of_ten_point_seven_percent() -> None:
    method = build_method("lottery_ticket", {})
    (sparsities,) = method.trials((0.5, 0.9))
    phases = method.phases(sparsities, CONTEXT)
    assert sparsities[-1] == pytest.approx(1 - 0.8**10)
    assert [p.sparsity for p in phases if isinstance(p, Prune)] == pytest.approx(
        [1 - 0.8**k for k in range(1, 11)]
    )
    assert [p.level for p in phases if isinstance(p, Measure)] == list(range(1, 11))
    assert sum(isinstance(p, Train) for p in phases) == 10
    rounds = [phases[i : i + 4] for i in range(0, len(phases), 4)]
    assert all([type(p) for p in r] == [Prune, Rewind, Train, Measure] for r in rounds)


def test_a_ticket_goes_back_to_the_epoch_it_is_told() -> None:
    method = build_method("lottery_ticket", {"rewind_to": 3})
    phases = method.phases(method.trials((0.5,))[0], CONTEXT)
    assert {p.epoch for p in phases if isinstance(p, Rewind)} == {3}
    assert {p.start for p in phases if isinstance(p, Train)} == {3}


def test_a_ticket_that_visits_the_sparsities_removes_at_most_its_rate_a_round() -> None:
    method = build_method("lottery_ticket", {"levels": "sparsities"})
    (sparsities,) = method.trials((0.9, 0.3, 0.0))
    assert sparsities == (0.3, 0.9)
    phases = method.phases(sparsities, CONTEXT)
    density = [1 - p.sparsity for p in phases if isinstance(p, Prune)]
    assert all(
        after / before >= 0.8 - 1e-9
        for before, after in zip([1.0, *density], density, strict=False)
    )
    assert [p.sparsity for p in phases if isinstance(p, Measure)] == [0.3, 0.9]
    assert density[1] == pytest.approx(0.7) and density[-1] == pytest.approx(0.1)


def test_a_context_without_a_network_says_so() -> None:
    with pytest.raises(ValueError, match="^the phases depend on the network, but none is given$"):
        _ = CONTEXT.network
