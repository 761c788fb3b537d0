"""Trained weights from wherever the user has them, in the names of the study's network."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from models import zoo
from models.model_registry import import_function
from pruning.user_error import UserError
from trainables.data.loader_interface import MeanStd
from trainables.saved_networks import build_untrained
from trainables.weights.file_reader import read_content
from trainables.weights.given_weights import GivenWeights, digest_weights
from trainables.weights.library_weights import download_weights
from trainables.weights.located_file import find_file
from trainables.weights.matching import Target, match_weights
from trainables.weights.source_names import WeightsSource, parse_source
from trainables.weights.state_dicts import StateDict, find_state_dict
from trainables.weights.study_weights import read_study_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

STEM = "conv1"  # the layer that a CIFAR stem has in place of the library's


def read_weights(
    source: str,
    *,
    model: str,
    image: tuple[int, int, int],
    classes: int,
    fresh: tuple[str, ...] = (),
    data_dir: str | None = None,
) -> GivenWeights:
    """Trained weights for a network.

    Args:
        source: the path or the address of a file (`FILE#NAME` where it holds several networks);
            `torchvision:TAG` or `timm:TAG`, with `default` for the library's choice, of the study's
            own network; `STUDY_DIR#KEY` or `STUDY_DIR#KEY@LEVEL`; or `package.module:function` that
            returns a state dict or an `nn.Module`.
        model: see `models.model_registry.build_model`; `image` and `classes`, too.
        fresh: see `matching.match_weights`.
        data_dir: the folder of the user's data, in whose folder `weights` files are found by name.

    Raises:
        UserError: the source is not there or damaged, or its weights do not fit the network; one
            line.
        StoreLost: the other study's directory cannot be used.
    """
    parsed = parse_source(source, model)
    target = Target(build_untrained(model, image, classes), model, image, classes)
    found, normalise = _read(parsed, source, target, data_dir)
    if parsed.kind == "library" and zoo.split_library_name(model)[2]:
        fresh = (*fresh, *([] if STEM in fresh else [STEM]))
        found.notes.append("the CIFAR stem is drawn fresh: the library's has 7x7 filters")
    where = f"'{source}'"
    matched = match_weights(found.tensors, target, where=where, fresh=fresh)
    return GivenWeights(
        matched.tensors,
        digest_weights(matched.tensors),
        matched.fresh,
        normalise,
        [*found.notes, *matched.notes],
    )


def _read(
    parsed: WeightsSource, text: str, target: Target, data_dir: str | None
) -> tuple[StateDict, MeanStd | None]:
    """The state dict of a source, and the normalisation that it brings."""
    match parsed.kind:
        case "file":
            path = find_file(parsed.place, data_dir)
            return find_state_dict(read_content(path), f"'{path}'", parsed.part), None
        case "library":
            assert parsed.part is not None, "a library's weights have a tag"
            loaded = download_weights(target.model, parsed.part, channels=target.image[0])
            normalise = (loaded.mean, loaded.std) if loaded.mean and loaded.std else None
            return StateDict(dict(loaded.tensors), list(loaded.notes)), normalise
        case "study":
            assert parsed.part is not None, "a study's weights have a key"
            kept = read_study_weights(parsed.place, parsed.part, parsed.level)
            return StateDict(kept.tensors, kept.notes), kept.normalise
        case "function":
            return find_state_dict(_call(parsed.place, target), f"'{text}'"), None


def _call(name: str, target: Target) -> Any:
    """What the user's function returns; of `model`, `image` and `classes` it is given those that it
    takes.

    Raises:
        UserError: it cannot be imported, or takes something else.
    """
    function = import_function(name, purpose="the weights")
    known: Mapping[str, Any] = {
        "model": target.model,
        "image": target.image,
        "classes": target.classes,
    }
    try:
        signature = inspect.signature(function)
        given = {key: known[key] for key in signature.parameters if key in known}
        signature.bind(**given)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"'{name}' must take nothing, or some of model, image and classes, but: {error}"
        ) from error
    return function(**given)
