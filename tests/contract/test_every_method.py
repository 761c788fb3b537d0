"""What every method in the registry must keep to. A new file in `pruning/methods/` is tested by
existing.

Trials train a network so small that this takes parts of a second, and, in a method of each
category, ResNet-8 in the slow tests.
"""

import functools
import itertools
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from models.model_registry import build_model
from pruning import registry, testing
from pruning.masks import kept_count, prunable
from pruning.phases import Train
from pruning.structured.shrink import shrink
from sweeps.planning.plan import make_plan
from sweeps.study_file.study import StudySpec
from tests.contract.method_kinds import one_of_each_kind_first
from tests.contract.small_knobs import SMALL_KNOBS
from trainables.environment import Environment
from trainables.storage import parquet_tables, schema
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

SPARSITIES = [0.5, 0.9]
SEED, OTHER = 3, 4
RESIDUAL = "tests.contract.small_networks:residual"
CASES = [
    *((method, RESIDUAL) for method in registry.list_methods()),
    # A larger network, in a method of each category.
    *(
        pytest.param(method, "resnet8", marks=pytest.mark.slow)
        for method in ("dense", "fpgm", "lottery_ticket", "rigl")
    ),
]
COLUMNS = {RESIDUAL: 20, "resnet8": 150}  # for OBC: some layers are within, some are not


def knobs_of(method: str, model: str) -> dict[str, Any]:
    more = {"max_columns": COLUMNS[model]} if method == "obc" else {}
    return SMALL_KNOBS.get(method, {}) | more


def study(method: str, seed: int = SEED, model: str = "resnet8") -> StudySpec:
    """A study of one method that trains for parts of a second: a residual network on three batches
    of digits an epoch."""
    recipe = {"epochs": 2, "batch": 500, "lr": 0.05, "precision": "fp32", "augment": "crop_flip"}
    return StudySpec.model_validate(
        {
            "name": "contract",
            "dataset": "digits",
            "model": model,
            "recipe": recipe,
            "retrain": {"epochs": 1},
            "methods": [{method: knobs_of(method, model)}],
            "sparsities": SPARSITIES,
            "seeds": [seed],
        }
    )


def specs(
    method: str, seed: int = SEED, model: str = "resnet8"
) -> tuple[TrialSpec, list[TrialSpec]]:
    """The dense trial and the method's own trials."""
    trials = [trial.spec for trial in make_plan(study(method, seed, model)).trials]
    dense = next(spec for spec in trials if spec.method == "dense")
    return dense, [dense] if method == "dense" else [
        spec for spec in trials if spec.method != "dense"
    ]


@pytest.fixture(scope="module")
def prepare(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, TrialSpec], Environment]:
    """Makes a study directory for a trial, with the dense training of either seed unless the trial
    is that one."""

    @functools.cache
    def train(model: str) -> Path:
        trained = tmp_path_factory.mktemp("dense")
        for seed in (SEED, OTHER):
            Trial(specs("lottery_ticket", seed, model)[0], Environment(store=str(trained))).run()
        return trained

    def make(folder: Path, spec: TrialSpec) -> Environment:
        if not folder.exists() and spec.method != "dense":
            shutil.copytree(train(spec.model), folder)
        return Environment(store=str(folder), checkpoint_seconds=1e9)

    return make


class WatchedTrial(Trial):
    """A trial that keeps its masks as they were before each of its steps."""

    seen: list[dict[str, torch.Tensor]]

    def advance(self, pause: Callable[[], bool] = lambda: False) -> None:
        """Keep the masks, and run a step."""
        masks = self.runner.network.masks
        self.seen.append({name: mask.clone() for name, mask in masks.items()})
        super().advance(pause)


@pytest.fixture(scope="module")
def calm(
    prepare: Callable[..., Environment], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., WatchedTrial]:
    """The last trial of a method on a network, undisturbed; run once for all tests, which only look
    at it."""

    @functools.cache
    def run(method: str, model: str) -> WatchedTrial:
        spec = specs(method, model=model)[1][-1]
        trial = WatchedTrial(spec, prepare(tmp_path_factory.mktemp("calm") / "study", spec))
        trial.seen = []
        trial.run()
        return trial

    return run


@pytest.fixture
def walk(prepare: Callable[..., Environment], tmp_path: Path) -> Callable[..., Trial]:
    """Walks a trial to its end in a study directory of its own, undisturbed or opened anew again
    and again.

    `disturb` is called after every step, or after every batch, each time with a checkpoint just
    written.
    """

    def run(
        spec: TrialSpec,
        name: str,
        *,
        disturb: Callable[[Trial], None] | None = None,
        batchwise: bool = False,
    ) -> Trial:
        environment = prepare(tmp_path / name, spec)
        trial = Trial(spec, environment)
        while not trial.done:
            trial.advance(lambda: batchwise)
            if disturb and not trial.done:
                trial.save()
                disturb(trial)
                trial = Trial(spec, environment)
        return trial

    return run


def lasting(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without the columns that say when and where a trial ran."""
    return [
        {name: value for name, value in row.items() if name not in schema.CIRCUMSTANCES}
        for row in rows
    ]


def assert_equal(calm: Trial, disturbed: Trial) -> None:
    """Every measured value and every bit of the networks."""
    for table in ("rows", "curves", "layers"):
        first, second = (
            parquet_tables.decode_table(
                table, trial.store.read(f"{table}/{trial.spec.key}.parquet")
            ).to_pylist()
            for trial in (calm, disturbed)
        )
        assert lasting(first) == lasting(second)
    weights = calm.runner.network.model.state_dict()
    assert all(
        torch.equal(value, weights[name])
        for name, value in disturbed.runner.network.model.state_dict().items()
    )
    assert calm.store.list("checkpoints") == disturbed.store.list("checkpoints") == []


@pytest.mark.parametrize(("method", "model"), CASES)
def test_killed_after_every_step_and_every_batch_it_ends_bit_equal(
    method: str, model: str, calm: Callable[..., Trial], walk: Callable[..., Trial]
) -> None:
    """And from equal seeds; its state holds only tensors and plain values, else it would not be
    read."""
    _, trials = specs(method, model=model)
    moments: list[int] = []

    def kill(trial: Trial) -> None:
        assert trial.start == (moments[-1] if moments else 0), "it goes on where it was killed"
        moments.append(trial.position)

    disturbed = walk(trials[-1], "disturbed", disturb=kill, batchwise=True)
    assert_equal(calm(method, model), disturbed)
    batches = disturbed.runner.loader.batches_per_epoch(disturbed.spec.recipe.batch)
    epochs = sum(isinstance(disturbed.runner.phases[index], Train) for index, _ in disturbed.steps)
    assert len(moments) == len(set(moments)) == len(disturbed.steps) - 1 + epochs * (batches - 1)
    assert disturbed.attempts == len(moments) + 1


@pytest.mark.parametrize("method", one_of_each_kind_first())
def test_killed_while_it_writes_a_checkpoint_it_ends_bit_equal(
    method: str, calm: Callable[..., Trial], walk: Callable[..., Trial]
) -> None:
    _, trials = specs(method, model=RESIDUAL)
    count = itertools.count()

    def tear(trial: Trial) -> None:
        """Every other time the newest checkpoint is only half there, as on a store where a name
        comes before its data."""
        if next(count) % 2:
            newest = max(
                Path(trial.store.uri, "checkpoints").rglob("*.pt"), key=lambda path: path.name
            )
            newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
        leftover = Path(trial.store.uri, "checkpoints", trial.spec.key, ".step.tmp")
        leftover.write_bytes(b"half a checkpoint")

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        disturbed = walk(trials[-1], "torn", disturb=tear)
    assert_equal(calm(method, RESIDUAL), disturbed)
    torn = [str(warning.message) for warning in told if "passed over" in str(warning.message)]
    assert len(torn) >= next(count) // 2 >= 1
    assert all("does not match its checksum" in text for text in torn)


WIDE = "tests.contract.small_networks:wide_residual"
NEAR = [
    name for name in registry.list_methods() if registry.build_method(name, {}).reaches == "nearest"
]


@pytest.mark.parametrize(
    ("method", "model"),
    [
        *((method, WIDE if method in NEAR else RESIDUAL) for method in registry.list_methods()),
        *(pytest.param(name, "resnet8", marks=pytest.mark.slow) for name in NEAR),
    ],
)
def test_it_reaches_the_requested_sparsity(
    method: str, model: str, calm: Callable[..., Trial], walk: Callable[..., Trial]
) -> None:
    """Exactly, where the method decides on single weights; as near as whole filters allow, where it
    removes those."""
    *others, _ = specs(method, model=model)[1]
    for trial in (*(walk(spec, "study") for spec in others), calm(method, model)):
        total = trial.runner.network.dense_prunable
        left = sum(int(mask.sum()) for mask in trial.runner.network.masks.values())
        assert trial.records.rows[-1]["sparsity_reached"] == pytest.approx(
            1 - left / total, abs=1e-12
        )
        assert trial.records.rows[-1]["nonzero"] - left == trial.records.rows[-1]["params"] - sum(
            weight.numel() for weight in prunable(trial.runner.network.model).values()
        )
        for row in trial.records.rows:
            if trial.runner.method.reaches == "exact":
                assert round((1 - row["sparsity_reached"]) * total) == kept_count(
                    row["sparsity"], total
                )
            elif trial.runner.method.reaches == "nearest":
                assert row["sparsity_reached"] == pytest.approx(row["sparsity"], abs=0.03)
            else:
                assert 0 < row["sparsity_reached"] < 1


@pytest.mark.parametrize(("method", "model"), CASES)
def test_masked_weights_are_zero_and_the_plain_model_loads_the_rest(
    method: str, model: str, calm: Callable[..., Trial]
) -> None:
    trial = calm(method, model)
    for name, weight in prunable(trial.runner.network.model).items():
        assert not weight[~trial.runner.network.masks[name]].any()
    plain = build_model(
        trial.spec.model, image=trial.runner.network.image, classes=trial.runner.network.classes
    )
    for keep in trial.runner.network.keep_plans:
        plain = shrink(plain, keep, image=trial.runner.network.image)
    plain.load_state_dict(trial.runner.network.copy_weights(), strict=True)
    x = torch.randn(4, *trial.runner.network.image, generator=torch.Generator().manual_seed(0))
    trial.runner.network.model.eval()
    torch.testing.assert_close(plain.eval()(x), trial.runner.network.model(x))


@pytest.mark.parametrize("method", registry.list_methods())
def test_no_step_brings_weights_back(method: str, calm: Callable[..., WatchedTrial]) -> None:
    trial = calm(method, RESIDUAL)
    seen = trial.seen
    assert len(seen) == len(trial.steps) > 1
    moves = any(isinstance(phase, Train) and phase.updates for phase in trial.runner.phases)
    for before, after in itertools.pairwise(seen):
        if moves:  # dynamic sparse training grows as many weights as it drops
            assert sum(int(mask.sum()) for mask in after.values()) <= sum(
                int(mask.sum()) for mask in before.values()
            )
        else:
            assert all(
                after[n].numel() < before[n].numel() or bool((after[n] <= before[n]).all())
                for n in after
            )


@pytest.mark.parametrize("method", registry.list_methods())
def test_another_seed_gives_another_trial(
    method: str, calm: Callable[..., Trial], walk: Callable[..., Trial]
) -> None:
    other = walk(specs(method, OTHER, RESIDUAL)[1][-1], "other")
    assert other.records.rows[-1]["digest"] != calm(method, RESIDUAL).records.rows[-1]["digest"]


@pytest.mark.parametrize("method", registry.list_methods())
@pytest.mark.parametrize(
    "check",
    [
        check
        if check is testing.check_that_it_says_what_it_is
        else pytest.param(check, marks=pytest.mark.slow)
        for check in testing.CHECKS
    ],
    ids=lambda check: check.__name__,
)
def test_it_keeps_the_rules_for_methods_from_outside(
    check: Callable[[testing.MethodOf], None], method: str
) -> None:
    knobs = {"iterations": 5} if method == "synflow" else SMALL_KNOBS.get(method, {})
    check(registry.build_method(method, knobs))
