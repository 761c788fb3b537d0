"""The structure of a network, which decides how long it takes: collected from a study's tables,
and rebuilt as a network.

Latency is a property of the structure, not of trained values: the shapes of the layers, how many of
their weights are zero, and the precision. All of that stands in the tables of a study, so a trial
need not store its weights to be timed.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Literal

import torch

from models.model_registry import build_model
from pruning import nm_pattern
from pruning.batch_norm import recalibrate_batch_norm
from pruning.masks import all_kept, apply_masks, draw_masks, prunable
from pruning.structured.channel_groups import find_groups
from pruning.structured.shrink import shrink
from pruning.user_error import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from trainables.training.precision import Precision
    from trainables.trial_spec import TrialSpec

Shapes = Mapping[str, tuple[int, ...]]
Form = Literal["dense", "smaller", "masked"]

SAMPLE_IMAGES = 32  # random ones, for the batch-norm statistics of a rebuilt network


@dataclass(frozen=True)
class NetworkStructure:
    """The structure of one measured level.

    model, image, classes: as `models.model_registry.build_model` takes them. shapes: of the
    prunable weights, by state-dict name. kept: how many weights of each layer are not zero, in the
    same order. pattern: n and m where the method prunes n:m, else None. precision: that of the
    trial.
    """

    model: str
    image: tuple[int, int, int]
    classes: int
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    kept: tuple[int, ...]
    pattern: nm_pattern.NM | None
    precision: Precision

    @property
    def zeros(self) -> int:
        """Number of weights that are zero in the network as it stands."""
        return sum(prod(shape) for _, shape in self.shapes) - sum(self.kept)

    @property
    def percent_zeros(self) -> int:
        """Zeros among the weights of the network as it stands, in whole percent; at least 1 where
        there are any."""
        share = 100 * self.zeros / max(1, sum(prod(shape) for _, shape in self.shapes))
        return max(1, round(share)) if self.zeros else 0

    @property
    def timing_key(self) -> Hashable:
        """Equal for structures that take equally long, so that one of them is timed for all.

        Of masks the whole percent of zeros counts, not their place: the seeds and levels of a study
        have hundreds of masks that are all the same to a dense kernel.
        """
        masked = (self.percent_zeros, self.pattern) if self.zeros else None
        return self.model, self.image, self.classes, self.shapes, masked, self.precision

    @property
    def patterned_layers(self) -> frozenset[str]:
        """Names of the weights that hold the n:m pattern, none where there is none; the others do
        not fit it."""
        if self.pattern is None:
            return frozenset()
        n, m = self.pattern
        listed = zip(self.shapes, self.kept, strict=True)
        return frozenset(
            name
            for (name, shape), kept in listed
            if shape[1] % m == 0 and kept * m == prod(shape) * n
        )

    def rebuild(self) -> tuple[nn.Module, Form]:
        """A network of this structure on the CPU, in fp32, channels_last and eval mode, and its
        form.

        Initial weights; removed channels are the last of their group, zeros lie at random or in the
        n:m pattern. Batch-norm statistics are those of random images, as without them activations
        would die out or overflow.

        Raises:
            UserError: the network of that name has other layers than were recorded; or it was made
                smaller, but its channels cannot be followed.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = build_model(self.model, image=self.image, classes=self.classes)
        recorded = dict(self.shapes)
        form: Form = "dense"
        if _shapes(model) != recorded:
            form = "smaller"
            model = shrink(model, _keep_plan(model, self.image, recorded), image=self.image)
            _check_shapes(_shapes(model), recorded, self.model)
        if self.zeros:
            form = "masked"
            apply_masks(model, self._masks(model))
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(SAMPLE_IMAGES, *self.image, generator=generator)
        labels = torch.zeros(SAMPLE_IMAGES, dtype=torch.int64)
        batch = images.to(memory_format=torch.channels_last), labels
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        recalibrate_batch_norm(model, [batch])
        return model.eval(), form

    def _masks(self, model: nn.Module) -> dict[str, Tensor]:
        """Masks with the recorded number of kept weights in every layer."""
        generator = torch.Generator().manual_seed(0)
        whole = all_kept(model)
        counts = dict(zip(dict(self.shapes), self.kept, strict=True))
        masks = {}
        for name, mask in whole.items():
            if self.pattern and name in self.patterned_layers:
                scores = torch.rand(mask.shape, generator=generator).movedim(1, -1)
                runs = nm_pattern.nm_mask(scores.reshape(-1, scores.shape[-1]), *self.pattern)
                masks[name] = runs.view_as(scores).movedim(-1, 1)
            elif counts[name] < mask.numel():
                masks |= draw_masks({name: counts[name]}, {name: mask}, generator)
        return masks


def collect_structures(
    spec: TrialSpec,
    image: tuple[int, int, int],
    classes: int,
    *,
    rows: Sequence[Mapping[str, Any]],
    layers: Sequence[Mapping[str, Any]],
) -> dict[tuple[int, str], NetworkStructure]:
    """The structures of a trial's networks by (level, stage), from its parts of the tables *rows*
    and *layers*.

    Raises:
        ValueError: a row has no layers, or no precision.
    """
    pattern = getattr(spec.build_method(), "nm", None)
    structures = {}
    for row in rows:
        place = row["level"], row["stage"]
        of_row = [layer for layer in layers if (layer["level"], layer["stage"]) == place]
        if not of_row or not row["precision"]:
            raise ValueError(
                f"level {place[0]}, stage {place[1]} has no recorded layers or precision"
            )
        structures[place] = NetworkStructure(
            model=spec.model,
            image=image,
            classes=classes,
            shapes=tuple(
                (layer["layer"], tuple(map(int, layer["shape"].split("x")))) for layer in of_row
            ),
            kept=tuple(layer["nonzero"] for layer in of_row),
            pattern=pattern,
            precision=row["precision"],
        )
    return structures


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in prunable(model).items()}


def _keep_plan(
    model: nn.Module, image: tuple[int, int, int], recorded: Shapes
) -> dict[str, Tensor]:
    """The plan that leaves as many channels of each group as the recorded weights have."""
    plan = {}
    for group in find_groups(model, image):
        part = group.of_role("writes")[0]
        if part.tensor in recorded:
            left = recorded[part.tensor][part.dim] * group.channels // len(part.unit)
            if left < group.channels:
                plan[group.name] = torch.arange(left)
    return plan


def _check_shapes(rebuilt: Shapes, recorded: Shapes, model: str) -> None:
    """Pass if a rebuilt network has the layers that were recorded.

    Raises:
        UserError: it has others.
    """
    for name in {**recorded, **rebuilt}:
        if rebuilt.get(name) != recorded.get(name):
            raise UserError(
                f"model '{model}' must have the layers that were recorded, but '{name}' is "
                f"{rebuilt.get(name)} and was {recorded.get(name)}; has the model changed since?"
            )
