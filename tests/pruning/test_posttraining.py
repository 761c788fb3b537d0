"""Post-training methods on a small network: the order of the layers, exact counts, n:m, notes.

Covers: pruning/posttraining.py, pruning/methods/sparsegpt.py, pruning/methods/obc.py,
pruning/methods/wanda.py, pruning/methods/magnitude_post.py.
"""

import subprocess
import sys
from collections.abc import Iterator

import pydantic
import pytest
import torch
from torch import Tensor, nn

from pruning.layerwise.layer_inputs import hessian, to_matrix
from pruning.layerwise.obs import least_squares, magnitude_mask, sparsegpt
from pruning.masks import all_kept, prunable
from pruning.method import PruneInput
from pruning.methods.magnitude_post import MagnitudePost
from pruning.methods.obc import OBC
from pruning.methods.sparsegpt import SparseGPT
from pruning.methods.wanda import Wanda
from pruning.phases import Measure, PhaseContext, Prune, Recalibrate, Train
from pruning.posttraining import PostTraining, Target
from tests.pruning.nm_check import is_nm

torch.set_num_threads(1)

IMAGE = (3, 6, 6)
EVERY = [
    SparseGPT(images=40),
    SparseGPT(images=40, reconstruct="exact"),
    Wanda(images=40),
    OBC(images=40),
    MagnitudePost(images=40),
]


def network(groups: int = 2) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, groups=groups),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(12 * 16, 5),
    ).train()


def pictures(count: int) -> Tensor:
    return torch.randn(count, 3, 6, 6, generator=torch.Generator().manual_seed(1))


def images(count: int) -> Iterator[tuple[Tensor, Tensor]]:
    for some in pictures(count).split(16):
        yield some, torch.zeros(len(some), dtype=torch.int64)


def look(model: nn.Module, sparsity: float) -> PruneInput:
    generator = torch.Generator().manual_seed(0)
    return PruneInput(
        model=model,
        masks=all_kept(model),
        sparsity=sparsity,
        generator=generator,
        images=images,
        image=IMAGE,
    )


@pytest.mark.parametrize("method", EVERY, ids=lambda method: type(method).__name__)
@pytest.mark.parametrize("sparsity", [0.37, 0.9])
def test_the_count_is_exact_and_the_weights_agree_with_the_masks(
    method: PostTraining, sparsity: float
) -> None:
    model = network()
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    inputs = look(model, sparsity)
    masks = method.prune(inputs)
    total = sum(mask.numel() for mask in masks.values())
    assert sum(int(mask.sum()) for mask in masks.values()) == round((1 - sparsity) * total)
    for name, weight in prunable(model).items():
        assert masks[name].shape == weight.shape
        assert torch.equal(weight != 0, masks[name])
        assert abs(float(masks[name].float().mean()) - (1 - sparsity)) <= 1 / weight.numel()
    assert inputs.notes == []
    assert model.training
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in model.named_buffers())
    again = network()
    assert all(
        torch.equal(mask, masks[name]) for name, mask in method.prune(look(again, sparsity)).items()
    )
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True)
    )


@pytest.mark.parametrize("reconstruct", ["fast", "exact"])
def test_a_layer_sees_the_inputs_that_pruned_layers_before_it_produce(reconstruct: str) -> None:
    pruned, dense = network(groups=1), network(groups=1)
    masks = SparseGPT(images=40, reconstruct=reconstruct).prune(look(pruned, 0.5))
    half = network(groups=1)
    half[0].load_state_dict(pruned[0].state_dict())
    batches = [x for x, _ in images(40)]
    weight = to_matrix(dense[3].weight.detach())[0]
    for model, same in ((half, True), (dense, False)):
        h = hessian(model, "3.weight", batches)[0]
        expected = sparsegpt(weight, h, sparsity=0.5)
        if reconstruct == "exact":
            expected = least_squares(weight, h, expected.mask, damping=0.01)
        found = to_matrix(pruned[3].weight.detach())[0]
        assert torch.allclose(found, expected.weight, rtol=1e-5, atol=1e-6) == same
    assert torch.equal(to_matrix(masks["3.weight"])[0], to_matrix(pruned[3].weight)[0] != 0)


@pytest.mark.parametrize("method", [SparseGPT, Wanda, OBC, MagnitudePost])
def test_n_of_m_runs_along_input_channels_and_names_what_does_not_fit(
    method: type[PostTraining],
) -> None:
    model = network()
    stem = model[0].weight.detach().clone()
    inputs = look(model, 0.5)
    masks = method(images=40, pattern="2:4").prune(inputs)
    assert torch.equal(model[0].weight, stem)
    assert masks["0.weight"].all()
    assert is_nm(masks["3.weight"], 2, 4)
    assert is_nm(masks["6.weight"], 2, 4)
    assert torch.equal(model[3].weight != 0, masks["3.weight"])
    assert inputs.notes == ["kept dense, as 2:4 does not fit: 0.weight"]


def test_magnitude_keeps_the_largest_of_each_group_of_each_layer_and_changes_none() -> None:
    model, before = network(), network()
    for one in (model, before):
        one[3].weight.data[6:] *= (
            3  # the second group's are larger, and it keeps no more of them for that
        )
    masks = MagnitudePost(images=40).prune(look(model, 0.5))
    for name, weight in prunable(before).items():
        for some, kept in zip(
            *(tensor.chunk(2 if name == "3.weight" else 1) for tensor in (weight, masks[name])),
            strict=True,
        ):
            assert abs(int(kept.sum()) - some.numel() / 2) <= 1
            assert some[kept].abs().min() > some[~kept].abs().max()
        assert torch.equal(prunable(model)[name], weight * masks[name])


@pytest.mark.parametrize("method", [Wanda(), MagnitudePost()], ids=["wanda", "magnitude"])
def test_what_solves_nothing_damps_nothing(method: PostTraining) -> None:
    solution, remark = method.solve(
        torch.tensor([[1.0, 3.0, -2.0, 0.5]]), torch.ones(4), Target(nm=(2, 4))
    )
    assert (solution.weight.tolist(), solution.damping, remark) == (
        [[0.0, 3.0, -2.0, 0.0]],
        0.0,
        "",
    )


def test_weight_updates_beat_magnitude_on_the_output_of_the_network() -> None:
    x = pictures(40)
    expected = network().eval()(x)

    def change(model: nn.Module) -> float:
        return float((model.eval()(x) - expected).detach().norm())

    plain = network()
    for weight in prunable(plain).values():
        matrix = weight.detach().flatten(1)
        weight.data *= magnitude_mask(matrix, sparsity=0.5).view_as(weight)
    changes = {"magnitude": change(plain)}
    for method in (SparseGPT(images=40), OBC(images=40)):
        model = network()
        method.prune(look(model, 0.5))
        changes[type(method).__name__] = change(model)
    assert changes["OBC"] < changes["SparseGPT"] < changes["magnitude"]


def test_a_layer_too_wide_for_obc_is_named_and_solved_by_sparsegpt() -> None:
    model, other = network(), network()
    inputs = look(model, 0.5)
    OBC(images=40, max_columns=100).prune(inputs)
    assert inputs.notes == [
        "6.weight: too wide for OBC, pruned by SparseGPT with exact reconstruction"
    ]
    OBC(images=40, max_columns=1).prune(look(other, 0.5))
    whole = network()
    SparseGPT(images=40, reconstruct="exact").prune(look(whole, 0.5))
    assert all(
        torch.equal(a, b) for a, b in zip(other.parameters(), whole.parameters(), strict=True)
    )


def test_more_damping_is_noted() -> None:
    model = network()
    inputs = look(model, 0.5)
    SparseGPT(images=1, damping=0.0).prune(
        inputs
    )  # one image cannot give the classifier's 192 columns full rank
    assert any(note.startswith("6.weight: damping ") for note in inputs.notes)
    inputs = look(network(), 0.5)
    OBC(images=1, damping=0.0, max_columns=100).prune(inputs)
    wide = "6.weight: too wide for OBC, pruned by SparseGPT with exact reconstruction, damping "
    assert any(note.startswith(wide) for note in inputs.notes)


def test_what_cannot_be_pruned_is_refused() -> None:
    model = network()
    pruned = all_kept(model)
    pruned["0.weight"][0] = False
    inputs = PruneInput(
        model=model,
        masks=pruned,
        sparsity=0.5,
        generator=torch.Generator(),
        images=images,
        image=IMAGE,
    )
    with pytest.raises(ValueError, match="pruned already"):
        SparseGPT().prune(inputs)
    with pytest.raises(ValueError, match=r"2:4 has sparsity 0.5, but got 0.7"):
        SparseGPT(pattern="2:4").prune(look(model, 0.7))
    with pytest.raises(pydantic.ValidationError, match=r"such as '2:4', but got '2-4'"):
        SparseGPT(pattern="2-4")
    with pytest.raises(pydantic.ValidationError, match="multiple of m"):
        SparseGPT(pattern="2:4", block=30)
    with pytest.raises(pydantic.ValidationError, match=r"such as '2:4', but got '4:2'"):
        Wanda(pattern="4:2")
    assert Wanda(pattern="unstructured").nm is None


def test_phases_measure_raw_recalibrated_and_if_asked_finetuned() -> None:
    context = PhaseContext(train_epochs=10, retrain_epochs=3)
    raw, recalibrated = Measure(0.5, stage="raw"), Measure(0.5, stage="recalibrated")
    expected = [Prune(0.5), raw, Recalibrate(7), recalibrated]
    assert Wanda(recalibrate_batches=7).phases((0.5,), context) == expected
    with_finetune = [*expected, Train("retrain", 3), Measure(0.5, stage="finetuned")]
    assert Wanda(recalibrate_batches=7, finetune=True).phases((0.5,), context) == with_finetune


def test_a_pattern_has_one_sparsity_of_its_own() -> None:
    assert OBC().trials((0.5, 0.9)) == [(0.5,), (0.9,)]
    assert OBC(pattern="1:4").trials((0.5, 0.9)) == [(0.75,)]


def test_importing_the_shared_part_does_not_import_torch() -> None:
    code = "import sys, pruning.posttraining, pruning.nm_pattern; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_damping_asked_for_is_the_one_used() -> None:
    generator = torch.Generator().manual_seed(4)
    weight, x = torch.randn(4, 8, generator=generator), torch.randn(8, 40, generator=generator)
    h, target = 2 / 40 * x @ x.T, Target(sparsity=0.5)
    for damping in (0.01, 1.0):
        solution, _ = SparseGPT(damping=damping).solve(weight, h, target)
        assert solution.damping == damping
        assert torch.equal(
            solution.weight, sparsegpt(weight, h, sparsity=0.5, damping=damping).weight
        )


def test_a_layer_too_wide_for_obc_keeps_its_pattern() -> None:
    generator = torch.Generator().manual_seed(4)
    weight, x = torch.randn(4, 8, generator=generator), torch.randn(8, 40, generator=generator)
    solution, remark = OBC(max_columns=4).solve(
        weight, 2 / 40 * x @ x.T, Target(sparsity=None, nm=(2, 4))
    )
    assert is_nm(solution.mask, 2, 4) and "too wide for OBC" in remark
