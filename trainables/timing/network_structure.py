"""What of a network decides how long it takes, read from a study's records, and a network of that
form made anew.

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

from models.model_registry import build
from pruning import nm_pattern
from pruning.masks import all_kept, apply, draw, prunable
from pruning.structured.channel_groups import groups
from pruning.structured.shrink import shrink
from pruning.user_error import UserError
from trainables.training.epoch import recalibrate

if TYPE_CHECKING:
    from torch import Tensor, nn

    from trainables.training.epoch import Precision
    from trainables.trial_spec import TrialSpec

Shapes = Mapping[str, tuple[int, ...]]
Kind = Literal["dense", "smaller", "masked"]

SAMPLE = 32  # random images from which the batch-norm statistics of a rebuilt network are taken


@dataclass(frozen=True)
class Form:
    """The structure of one measured level.

    model, image, classes: as `models.model_registry.build` takes them. shapes: of the prunable
    weights, by state-dict name. kept: how many weights of each layer are not zero, in the same
        order.
    pattern: n and m where the method prunes n:m, else None. precision: that of the trial.
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
    def percent(self) -> int:
        """Zeros among the weights of the network as it stands, in whole percent; at least 1 where
        there are any."""
        share = 100 * self.zeros / max(1, sum(prod(shape) for _, shape in self.shapes))
        return max(1, round(share)) if self.zeros else 0

    @property
    def alike(self) -> Hashable:
        """Equal for forms that one measurement serves.

        Of masks it is the whole percent of zeros that counts, not their place: the seeds and levels
        of a study have hundreds of masks that no dense kernel tells apart.
        """
        masked = (self.percent, self.pattern) if self.zeros else None
        return self.model, self.image, self.classes, self.shapes, masked, self.precision

    @property
    def patterned(self) -> frozenset[str]:
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

    def rebuild(self) -> tuple[nn.Module, Kind]:
        """A network of this form on the CPU, in fp32, channels_last and eval mode, and what kind of
        form that is.

        Initial weights; removed channels are the last of their group, zeros lie at random or in the
        n:m pattern. Batch-norm statistics are those of random images, as without them activations
        would die out or overflow.

        Raises:
            UserError: the network of that name has other layers than were recorded.
            UserError: it was made smaller, but its channels cannot be followed.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = build(self.model, image=self.image, classes=self.classes)
        recorded = dict(self.shapes)
        kind: Kind = "dense"
        if _shapes(model) != recorded:
            kind = "smaller"
            model = shrink(model, _narrowed(model, self.image, recorded), image=self.image)
            _compare(_shapes(model), recorded, self.model)
        if self.zeros:
            kind = "masked"
            apply(model, self._masks(model))
        images = torch.randn(SAMPLE, *self.image, generator=torch.Generator().manual_seed(0))
        some = [
            (images.to(memory_format=torch.channels_last), torch.zeros(SAMPLE, dtype=torch.int64))
        ]
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        recalibrate(model, some, precision="fp32", device=torch.device("cpu"))
        return model.eval(), kind

    def _masks(self, model: nn.Module) -> dict[str, Tensor]:
        """Masks with the recorded number of kept weights in every layer."""
        generator = torch.Generator().manual_seed(0)
        whole = all_kept(model)
        counts = dict(zip(dict(self.shapes), self.kept, strict=True))
        masks = {}
        for name, mask in whole.items():
            if self.pattern and name in self.patterned:
                scores = torch.rand(mask.shape, generator=generator).movedim(1, -1)
                runs = nm_pattern.nm_mask(scores.reshape(-1, scores.shape[-1]), *self.pattern)
                masks[name] = runs.view_as(scores).movedim(-1, 1)
            elif counts[name] < mask.numel():
                masks |= draw({name: counts[name]}, {name: mask}, generator)
        return masks


def read_forms(
    spec: TrialSpec,
    image: tuple[int, int, int],
    classes: int,
    *,
    rows: Sequence[Mapping[str, Any]],
    layers: Sequence[Mapping[str, Any]],
) -> dict[tuple[int, str], Form]:
    """The forms of a trial's rows by (level, stage), from its parts of the tables *rows* and
    *layers*.

    Raises:
        ValueError: a row has no layers, or no precision.
    """
    pattern = getattr(spec.build_method(), "nm", None)
    found = {}
    for row in rows:
        place = row["level"], row["stage"]
        own = [layer for layer in layers if (layer["level"], layer["stage"]) == place]
        if not own or not row["precision"]:
            raise ValueError(
                f"level {place[0]}, stage {place[1]} has no recorded layers or precision"
            )
        found[place] = Form(
            model=spec.model,
            image=image,
            classes=classes,
            shapes=tuple(
                (layer["layer"], tuple(map(int, layer["shape"].split("x")))) for layer in own
            ),
            kept=tuple(layer["nonzero"] for layer in own),
            pattern=pattern,
            precision=row["precision"],
        )
    return found


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in prunable(model).items()}


def _narrowed(model: nn.Module, image: tuple[int, int, int], recorded: Shapes) -> dict[str, Tensor]:
    """The plan that leaves as many channels of each group as the recorded weights have."""
    plan = {}
    for group in groups(model, image):
        shape = recorded.get(f"{group.producers[0]}.weight", (group.channels,))
        if shape[0] < group.channels:
            plan[group.name] = torch.arange(shape[0])
    return plan


def _compare(found: Shapes, recorded: Shapes, model: str) -> None:
    for name in {**recorded, **found}:
        if found.get(name) != recorded.get(name):
            raise UserError(
                f"model '{model}' must have the layers that were recorded, but '{name}' is {found.get(name)} and was "
                f"{recorded.get(name)}; has the model changed since?"
            )
