"""Controls: what is left of a method's result when one ingredient of it is taken away.

A control executes the phases of another method, with its default knobs, up to its last prune, then
trains new or initial weights for the full budget. Whatever that method beats its control by is due
to the missing ingredient. Importing this does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, NoReturn

from pydantic import PrivateAttr

from pruning.method import Method, PruneInput
from pruning.phases import Measure, Phase, PhaseContext, Prune, Reinitialise, Rewind, Train

if TYPE_CHECKING:
    from pruning.method import Masks
    from pruning.structured.keep_plan import Smaller
    from pruning.weight_uses import WeightUse


class _NetworkNeeded(Exception):
    """The phases depend on the network."""


def _withhold_network() -> NoReturn:
    raise _NetworkNeeded


# As long as a training can be, so that no knob that names an epoch lies outside.
_LONGEST = PhaseContext(train_epochs=100_000, retrain_epochs=100_000, build=_withhold_network)


class Control(Method):
    """The base: a subclass names its `of` default, the kind of methods it controls, and the step
    after the last prune.

    The registry, which knows all methods, hands the controlled one over by `receive`: a control is
    made by `pruning.registry.build_method`.

    of: the method whose masks or kept channels are taken.
    """

    starts_from: ClassVar[Literal["init", "dense"]] = "dense"
    controls: ClassVar[Literal["unstructured", "structured"]]
    restart: ClassVar[Rewind | Reinitialise]
    of: str

    _inner: Method | None = PrivateAttr(default=None)

    @property
    def runs(self) -> tuple[str, ...]:
        """The controlled method."""
        return (self.of,)

    def receive(self, inner: Method) -> None:
        """Take the controlled method itself, with its default knobs."""
        self._inner = inner

    @property
    def inner(self) -> Method:
        """The controlled method.

        Raises:
            TypeError: it was not received.
        """
        if self._inner is None:
            raise TypeError(
                f"'{self.of}' was not handed over: build a control by pruning.registry.build_method"
            )
        return self._inner

    @property
    def cuts_channels(self) -> bool:
        return self.controls == "structured"

    @property
    def takes_layer_sparsity(self) -> bool:
        return self.inner.takes_layer_sparsity

    def find_unfit(self, uses: Mapping[str, WeightUse]) -> dict[str, str]:
        return self.inner.find_unfit(uses)

    def find_obstacle(self, inputs: PruneInput) -> str | None:
        return self.inner.find_obstacle(inputs)

    def find_misfit(self, kind: type[Method]) -> str | None:
        """Why a method cannot be controlled, as the end of a sentence; None where it can: its
        result must be fixed by prunes to a requested sparsity."""
        if kind.card.kind != self.controls:
            return f"is {kind.card.kind}, not {self.controls}"
        if issubclass(kind, Control):
            return "controls another method itself"
        if kind.reaches == "own":
            return "does not prune to a requested sparsity"
        try:
            phases = kind().phases((0.5,), _LONGEST)
        except _NetworkNeeded:
            return "prunes layer by layer"
        except ValueError as error:
            return f"has no phases for one sparsity: {error}"
        if any(isinstance(phase, Train) and phase.updates for phase in phases):
            return "changes masks while training"
        return None if any(isinstance(phase, Prune) for phase in phases) else "has no prune"

    def phases(self, sparsities: tuple[float, ...], context: PhaseContext) -> list[Phase]:
        """The controlled method's phases up to its last prune without measurements, the restart,
        and a training in full."""
        (sparsity,) = sparsities
        inner = self.inner.phases(sparsities, context)
        last = max(index for index, phase in enumerate(inner) if isinstance(phase, Prune))
        level = max(phase.level for phase in inner if isinstance(phase, Prune))
        # A control's trial opens with the trained weights; a method that prunes before training is
        # given the initial ones.
        begin: list[Phase] = [Rewind(0)] if self.inner.starts_from == "init" else []
        begin += [phase for phase in inner[: last + 1] if not isinstance(phase, Measure)]
        return [
            *begin,
            self.restart,
            Train("train", context.train_epochs),
            Measure(sparsity, level),
        ]

    def prune(self, inputs: PruneInput) -> Masks | Smaller:
        """What the controlled method returns."""
        return self.inner.prune(inputs)
