"""`pruning.prune`: the phases of a method, carried out in the user's own script."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from pruning.method import Method
from pruning.own_code.find_method import find_method, find_sparsities
from pruning.own_code.pruned import Pruned
from pruning.own_code.random_state import seeded_apart
from pruning.own_code.user_batches import UserBatches
from pruning.own_code.user_network import (
    UserNetwork,
    check_that_it_runs,
    check_user_image,
    check_user_model,
    find_device,
    find_dtype,
)
from pruning.own_code.user_phases import TrainFunction, UserPhases, Weights
from pruning.phases import PhaseContext
from pruning.structured.group_arrangement import refuse_hooked_weights
from pruning.user_error import UserError


def prune(
    model: nn.Module,
    method: str | Method | type[Method],
    sparsity: float | None = None,
    *,
    batches: Iterable[Any] | None = None,
    image: tuple[int, int, int] | None = None,
    exclude: Sequence[str] = (),
    layer_sparsity: Mapping[str, float] | None = None,
    seed: int = 0,
    train: TrainFunction | None = None,
    rewind: Weights | Callable[[int], Weights] | None = None,
    build: Callable[[], nn.Module] | None = None,
    train_epochs: int = 1,
    retrain_epochs: int = 1,
    inplace: bool = False,
    knobs: Mapping[str, Any] | None = None,
    **more_knobs: Any,
) -> Pruned:
    """Prune a network by any method of the project, with the code that trials of a study run.

    The phases of the method run in their order. Without `train` they end where the first training
    would begin, which is then the user's own; a method that prunes again after a training is
    refused without it. The model is left as it is (unless `inplace`): `pruned.model` is a copy,
    every module of it in the mode, train or eval, that the model's has. Torch's global generators
    are where they were before, except for what `train` draws; whatever a method draws comes from
    `seed`.

    Args:
        model: [B, C, H, W] to logits [B, classes], on any one device; trained already, if the
            method prunes trained networks.
        method: a name of the registry, the path of a method's file, a class, or a method object.
        sparsity: fraction of the prunable weights that shall be zero (or gone), in [0, 1); None
            where the method or its knobs decide.
        batches: (images, labels) as the model takes them, for methods that need images: a loader,
            a list or a generator. Drawn from its beginning.
        image: (channels, height, width) of one input; by default that of the first batch.
        exclude: layers that are left alone, by name or pattern; a list, or one.
        layer_sparsity: sparsities of layers, by name or pattern, in place of `sparsity`.
        seed: of all that the method draws.
        train: trains `pruned.model` in place, with `pruned.hold(optimizer)` or, for methods that
            change masks in a training, `pruned.schedule(...)`; called for every training of the
            method, `pruned.training` says which.
        rewind: the weights that methods with rewinding go back to: a state dict of the model from
            an earlier epoch, or a function from the epoch to one.
        build: makes the network with fresh weights, for methods that draw weights anew.
        train_epochs, retrain_epochs: lengths of a whole training and of one after a prune; only
            told to `train`, and limits of knobs that name an epoch.
        inplace: prune the model itself.
        knobs, more_knobs: of the method.

    Raises:
        UserError: this cannot be done; in one line, before anything is changed where that can be
            known before.
    """
    check_user_model(model)
    name, chosen = find_method(method, {**(knobs or {}), **more_knobs})
    sparsities = find_sparsities(name, chosen, sparsity)
    if inplace and chosen.cuts_channels:
        raise UserError(f"'{name}' makes a smaller network: leave out inplace=True")
    pruned = model if inplace else _copy(model)
    exclude = [exclude] if isinstance(exclude, str) else exclude
    device = find_device(model)
    given = None if batches is None else UserBatches(batches, device, find_dtype(model))
    if image is None:
        if given is None:
            raise UserError(
                "the size of an image is not known: give image=(channels, height, width) or batches"
            )
        image = _image_of(given)
    image = check_user_image(image)
    if given is not None:
        given.expect(image)
    with seeded_apart(device, seed), torch.enable_grad():
        check_that_it_runs(pruned, image)
        network = UserNetwork(
            pruned,
            image,
            whole=model,
            maker=build,
            seed=seed,
            method=chosen,
            exclude=exclude,
            layer_sparsity=layer_sparsity,
            last_sparsity=sparsities[-1] if sparsities else 0.0,
        )
        context = PhaseContext(
            train_epochs=train_epochs,
            retrain_epochs=retrain_epochs,
            image=image,
            build=lambda: network.model,
            select=lambda _: network.selection.names,
        )
        try:
            phases = chosen.phases(sparsities, context)
        except UserError:
            raise
        except ValueError as error:
            raise UserError(f"method '{name}': {error}") from None
        runner = UserPhases(name, chosen, network, phases, given, seed, train, rewind, build)
        runner.check()
        result = Pruned(
            network,
            method=name,
            knobs=chosen.model_dump(exclude_defaults=True),
            requested=sparsities[-1] if sparsities else None,
            macs_before=network.count_macs(),
            seed=seed,
            draw=runner.draw,
        )
    runner.run(result)
    return result


def _image_of(batches: UserBatches) -> tuple[int, int, int]:
    x, _ = batches.first()
    channels, height, width = x.shape[1:]
    return channels, height, width


def _copy(model: nn.Module) -> nn.Module:
    """A copy of the user's network.

    Raises:
        UserError: it cannot be copied.
    """
    try:
        return copy.deepcopy(model)
    except Exception as error:  # a module of the user's may refuse in any way
        refuse_hooked_weights(model)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"the model cannot be copied ({reason}): give inplace=True") from error
