"""Controls: what is left of a method's result when one ingredient of it is taken away.

A control walks the course of another method, with its default knobs, up to its last prune, then
trains new or initial weights for the full budget. Whatever that method beats its control by is due
to the missing ingredient. Importing this does not import torch.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import model_validator

from pruning.method import Method, PruneInput
from pruning.phases import Measure, Phase, Prune, Reinitialise, Rewind, Setting, Train

if TYPE_CHECKING:
    from pruning.method import Masks
    from pruning.structured.shrink import Smaller

_PROBE = Setting(train_epochs=1, retrain_epochs=1)


class Control(Method):
    """The base: a subclass names its `of` default, the kind of methods it controls, and the step
    after the last prune.

    of: the method whose masks or kept channels are taken.
    """

    starts_from: ClassVar[Literal["init", "dense"]] = "dense"
    controls: ClassVar[Literal["unstructured", "structured"]]
    restart: ClassVar[Rewind | Reinitialise]
    of: str

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Refuse methods whose result is not fixed by prunes to a requested sparsity."""
        from pruning import registry

        registry.find(self.of)
        reason = _misfit(self.of, self.controls)
        if reason:
            fitting = ", ".join(
                name for name in registry.names() if not _misfit(name, self.controls)
            )
            raise ValueError(
                f"of must be a method this can control, but '{self.of}' {reason}; there are: {fitting}"
            )
        return self

    @cached_property
    def inner(self) -> Method:
        """The controlled method, with its default knobs."""
        from pruning.registry import build

        return build(self.of, {})

    def phases(self, sparsities: tuple[float, ...], setting: Setting) -> list[Phase]:
        """The inner course up to its last prune without measurements, the restart, and a training
        in full."""
        (sparsity,) = sparsities
        course = self.inner.phases(sparsities, setting)
        last = max(index for index, phase in enumerate(course) if isinstance(phase, Prune))
        level = max(phase.level for phase in course if isinstance(phase, Prune))
        # A control's trial opens with the trained weights; those of a method that prunes before
        # training are the first.
        begin: list[Phase] = [Rewind(0)] if self.inner.starts_from == "init" else []
        begin += [phase for phase in course[: last + 1] if not isinstance(phase, Measure)]
        return [
            *begin,
            self.restart,
            Train("train", setting.train_epochs),
            Measure(sparsity, level),
        ]

    def prune(self, at: PruneInput) -> Masks | Smaller:
        """What the controlled method answers."""
        return self.inner.prune(at)


def _misfit(name: str, kind: str) -> str:
    """Why a method cannot be controlled, as the end of a sentence; empty where it can."""
    from pruning import registry

    found = registry.find(name)
    if found.card.kind != kind:
        return f"is {found.card.kind}, not {kind}"
    if found.reaches == "own":
        return "does not prune to a requested sparsity"
    try:
        course = registry.build(name, {}).phases((0.5,), _PROBE)
    except ValueError:  # `Setting.network`: the course depends on the network
        return "prunes layer by layer"
    if any(isinstance(phase, Train) and phase.updates for phase in course):
        return "changes masks while training"
    return "" if any(isinstance(phase, Prune) for phase in course) else "has no prune"
