"""The phases that methods lay out."""

import pytest

from pruning.phases import Measure, Prune, Rewind, Setting, Train, retraining
from pruning.registry import build

SETTING = Setting(train_epochs=10, retrain_epochs=4)


def test_ways_of_retraining() -> None:
    assert retraining("finetune", SETTING) == [Train("retrain", 4)]
    assert retraining("weight_rewind", SETTING, rewind_to=3) == [
        Rewind(3),
        Train("train", 10, start=3),
    ]
    assert retraining("lr_rewind", SETTING) == [Train("train", 10)]
    assert retraining("lr_rewind", SETTING, rewind_to=3) == [Train("train", 10, start=3)]
    with pytest.raises(ValueError, match="0 <= start <= end, but got 5 to 4"):
        Train("train", 4, start=5)
    with pytest.raises(ValueError, match=r"rewind_to must be in \[0, 10\]"):
        retraining("weight_rewind", SETTING, rewind_to=11)


def test_a_pruned_network_goes_back_to_the_epoch_it_is_told() -> None:
    method = build("magnitude", {"retrain": "weight_rewind", "rewind_to": 3})
    assert method.phases((0.5,), SETTING) == [
        Prune(0.5),
        Rewind(3),
        Train("train", 10, start=3),
        Measure(0.5),
    ]


def test_dense_stores_its_first_its_last_and_the_asked_for_weights() -> None:
    phases = build("dense", {}).phases(
        (0.0,), Setting(train_epochs=10, retrain_epochs=4, rewind_epochs=(3,))
    )
    assert phases == [Train("train", 10, publish=(0, 3, 10)), Measure(0.0, level=0)]


def test_ten_levels_of_twenty_percent_end_at_a_density_of_ten_point_seven_percent() -> None:
    method = build("lottery_ticket", {})
    (sparsities,) = method.trials((0.5, 0.9))
    phases = method.phases(sparsities, SETTING)
    assert sparsities[-1] == pytest.approx(1 - 0.8**10)
    assert [p.sparsity for p in phases if isinstance(p, Prune)] == pytest.approx(
        [1 - 0.8**k for k in range(1, 11)]
    )
    assert [p.level for p in phases if isinstance(p, Measure)] == list(range(1, 11))
    assert sum(isinstance(p, Train) for p in phases) == 10
    rounds = [phases[i : i + 4] for i in range(0, len(phases), 4)]
    assert all([type(p) for p in r] == [Prune, Rewind, Train, Measure] for r in rounds)


def test_a_ticket_goes_back_to_the_epoch_it_is_told() -> None:
    method = build("lottery_ticket", {"rewind_to": 3})
    phases = method.phases(method.trials((0.5,))[0], SETTING)
    assert {p.epoch for p in phases if isinstance(p, Rewind)} == {3}
    assert {p.start for p in phases if isinstance(p, Train)} == {3}


def test_a_ticket_that_visits_the_sparsities_removes_at_most_its_rate_a_round() -> None:
    method = build("lottery_ticket", {"levels": "sparsities"})
    (sparsities,) = method.trials((0.9, 0.3, 0.0))
    assert sparsities == (0.3, 0.9)
    phases = method.phases(sparsities, SETTING)
    density = [1 - p.sparsity for p in phases if isinstance(p, Prune)]
    assert all(
        after / before >= 0.8 - 1e-9
        for before, after in zip([1.0, *density], density, strict=False)
    )
    assert [p.sparsity for p in phases if isinstance(p, Measure)] == [0.3, 0.9]
    assert density[1] == pytest.approx(0.7) and density[-1] == pytest.approx(0.1)


def test_a_setting_without_a_network_says_so() -> None:
    with pytest.raises(ValueError, match="^this setting does not know its network$"):
        _ = SETTING.network
