"""Networks and methods tried out before a study starts, so that what cannot work is one line now
and not a failed trial after the dense training.

Of each network that trials need one is built with fresh weights; it is trained on two random images
of the data set's shape, and every method of the study says what stands in its way. The networks of
the project are known to work (a test tries them), so that most studies are planned without torch.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from models.sizes import COSTS
from pruning import registry
from pruning.method import Method, PruneInput
from pruning.user_error import UserError
from sweeps.planning.model_check import (
    brief,
    build_and_train,
    build_once,
    draw_images,
    seeded_apart,
)
from sweeps.study_file.study import StudySpec
from trainables.data.data_size import DataSize, read_data_size
from trainables.trial_spec import TrialSpec

if TYPE_CHECKING:
    from pruning.prunable_layers import Selection


REHEARSED = 0.5  # the sparsity at which a method of the user's is tried
_MISTAKES = (NameError, AttributeError, TypeError, NotImplementedError)  # whatever the images


class _Probed(NamedTuple):
    """A network as a study prunes it: its name, the images and classes, and the layers that the
    study leaves alone or sets apart."""

    model: str
    image: tuple[int, int, int]
    classes: int
    exclude: tuple[str, ...]
    layer_sparsity: tuple[tuple[str, float], ...]


def check_trials(study: StudySpec, specs: Iterable[TrialSpec]) -> None:
    """Pass if the networks of some trials of a study can be trained, and pruned by their methods.

    Raises:
        UserError: see `check_networks` and `read_data_size`.
    """
    specs = list(specs)
    kinds = {(spec.dataset, spec.image_size) for spec in specs}
    sizes = {
        (name, image_size): read_data_size(name, study.data_dir, image_size)
        for name, image_size in kinds
    }
    names = [method.name for setting in study.settings for method in setting.methods]
    check_networks(specs, sizes, names)


def check_networks(
    specs: Iterable[TrialSpec],
    sizes: Mapping[tuple[str, int | None], DataSize],
    names: Iterable[str],
) -> None:
    """Pass if the networks of trials can be trained, and pruned by their methods.

    Args:
        specs: the trials, of any seed.
        sizes: of their data sets, by name and the size that images are brought to.
        names: all methods of the study, in its order, for the advice.

    Raises:
        UserError: they cannot: which methods, why, and which methods can.
    """
    unable: dict[str, dict[str, str]] = {}  # reasons by method, by network and images
    for spec in _one_of_each(specs):
        size = sizes[spec.dataset, spec.image_size]
        if reason := find_obstacle(spec, size.image, size.classes):
            shape = "x".join(map(str, size.image))
            network = f"model '{spec.model}' ({shape} images, {size.classes} classes)"
            unable.setdefault(network, {}).setdefault(spec.method, reason)
    if unable:
        raise UserError(_describe(unable, list(dict.fromkeys(names))))


def find_obstacle(spec: TrialSpec, image: tuple[int, int, int], classes: int) -> str | None:
    """Why the method of a trial cannot prune its network; None where it can, or is known to.

    Raises:
        Misfit: the network cannot be trained on such images, whatever the method.
        UserError: there is no such network.
    """
    if not _needs_probe(spec, image, classes):
        return None
    apart = tuple(spec.layer_sparsity.items())
    probed = _Probed(spec.model, image, classes, spec.exclude, apart)
    build_and_train(spec.model, image, classes)
    return _find_obstacle(probed, spec.method, json.dumps(spec.knobs))


def forget_networks() -> None:
    """Forget what was tried in this process, for tests that change a network's file."""
    for cached in (_find_obstacle, _select_for_any, build_and_train, build_once):
        cached.cache_clear()


def _needs_probe(spec: TrialSpec, image: tuple[int, int, int], classes: int) -> bool:
    """Whether it is not known that the network can be trained, and pruned by the method."""
    method = spec.build_method()
    return bool(
        (spec.model, image, classes) not in COSTS
        or spec.exclude
        or spec.layer_sparsity
        or any(registry.find_user_method(name) for name in (spec.method, *method.runs))
        or not spec.knobs.keys().isdisjoint(method.network_knobs)
    )


def _one_of_each(specs: Iterable[TrialSpec]) -> Iterator[TrialSpec]:
    """Trials that differ in more than seed, sparsities and recipes, network by network."""
    chosen: dict[str, TrialSpec] = {}
    for spec in specs:
        fields = spec.model_dump(
            include={
                *("dataset", "model", "method", "knobs", "exclude", "layer_sparsity"),
                "image_size",
            }
        )
        chosen.setdefault(json.dumps(fields), spec)
    return iter(sorted(chosen.values(), key=lambda spec: (spec.model, spec.dataset)))


@lru_cache(maxsize=4096)
def _find_obstacle(probed: _Probed, name: str, knobs: str) -> str | None:
    """As `find_obstacle`; what was tried once in a process is not tried again."""
    method = registry.build_method(name, json.loads(knobs))
    try:
        with seeded_apart():
            inputs = _make_inputs(probed, _select(probed, method))
            reason = method.find_obstacle(inputs)
            if reason is None and registry.find_user_method(name):
                _rehearse(method, inputs)
            return reason
    except ValueError as error:
        return str(error)
    except (Exception, SystemExit) as error:  # networks and methods of the user fail in any way
        return brief(error)


def _rehearse(method: Method, inputs: PruneInput) -> None:
    """Let a method of the user's prune a copy of the network.

    Raises:
        WrongAnswer: what it answers does not fit the weights.
        _MISTAKES: a mistake in its code.
    """
    from pruning.method_answers import WrongAnswer, check_masks_fit
    from pruning.structured.keep_plan import Smaller

    kind = type(method)
    if not method.prunes or (kind.scores is Method.scores and kind.prune is Method.prune):
        return
    model = copy.deepcopy(inputs.model).eval()
    given = replace(inputs, model=model, sparsity=REHEARSED, memory={}, notes=[])
    try:
        masks = method.prune(given)
        if not isinstance(masks, Smaller):
            check_masks_fit(masks, inputs.masks)
    except (WrongAnswer, *_MISTAKES):
        raise
    except Exception:  # two random images may be too few for it, or it wants a trained network
        return


def _make_inputs(probed: _Probed, selection: Selection) -> PruneInput:
    import torch

    network = build_and_train(probed.model, probed.image, probed.classes)
    weights = dict(network.named_parameters(remove_duplicate=False))
    return PruneInput(
        model=network,
        masks={name: torch.ones_like(weights[name], dtype=torch.bool) for name in selection.names},
        sparsity=None,
        generator=torch.Generator().manual_seed(0),
        images=lambda count: iter([draw_images(probed.image, probed.classes)]),
        image=probed.image,
        fixed=selection.fixed,
    )


def _select(probed: _Probed, method: Method) -> Selection:
    """The weights that a trial of the method would prune."""
    from pruning.prunable_layers import select_weights

    kinds = [registry.find_method_class(name) for name in method.runs] or [type(method)]
    takes_all = all(kind.find_unfit is Method.find_unfit for kind in kinds)
    as_any = not probed.layer_sparsity or not method.cuts_channels
    if takes_all and method.prunes and as_any:
        return _select_for_any(probed)
    return select_weights(
        build_and_train(probed.model, probed.image, probed.classes),
        probed.image,
        method=method,
        exclude=probed.exclude,
        layer_sparsity=dict(probed.layer_sparsity),
    )


@lru_cache(maxsize=1)
def _select_for_any(probed: _Probed) -> Selection:
    """The weights of a network that any method could prune: what most methods take, so that they
    are looked for once."""
    from pruning.prunable_layers import select_weights

    return select_weights(
        build_and_train(probed.model, probed.image, probed.classes),
        probed.image,
        exclude=probed.exclude,
        layer_sparsity=dict(probed.layer_sparsity),
    )


def _describe(unable: Mapping[str, Mapping[str, str]], names: list[str]) -> str:
    """Which methods cannot prune a network and why, and how to run the others."""
    sentences = []
    for network, reasons in unable.items():
        by_reason: dict[str, list[str]] = {}
        for method, reason in reasons.items():
            by_reason.setdefault(reason, []).append(method)
        listed = "; ".join(
            f"{', '.join(sorted(methods))}: {reason}" for reason, methods in by_reason.items()
        )
        sentences.append(f"{network} cannot be pruned by {listed}")
    able = [name for name in names if not any(name in reasons for reasons in unable.values())]
    any_prunes = any(registry.find_method_class(name).prunes for name in able)
    advice = f"; the others can run: --methods {','.join(able)}" if any_prunes else ""
    return "; ".join(sentences) + advice
