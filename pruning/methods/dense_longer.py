"""The equal-budget control: the dense network, trained for as long as the longest method."""

from typing import ClassVar, Literal

from pydantic import Field

from pruning.method import Card, Method
from pruning.phases import Measure, Phase, PhaseContext, Train


class DenseLonger(Method):
    """Train the dense network for as many epochs in total as the longest method of the study (Le &
    Hua 2021, arXiv 2105.03193; Scratch-B of Liu et al. 2019, arXiv 1810.05270, for the whole
    network).

    A method that continues after the dense training has trained longer than the dense baseline:
    what it gains by that is not due to pruning. The schedule of the dense recipe, with its warm-up,
    milestones and changes, is stretched to the whole length. Nothing is pruned, so there is one
    network for each seed, at sparsity 0. `methods: all` does not include it: name it beside `all`.

    epochs: of the whole training. Where it is left out, the plan takes those of the longest method
        of the same data set, network and recipe: the dense training and the method's own epochs up
        to its last level; controls do not count. The number is part of the trial's key, so a study
        whose longest method changes trains a new dense network. At least those of the recipe.
    """

    card = Card(
        title="Dense, longer",
        paper="Le & Hua 2021, arXiv 2105.03193; Liu et al. 2019, arXiv 1810.05270",
        summary="the unpruned network, trained for as many epochs as the longest method in total",
        kind="control",
        cost="1 training, as long as the longest method with its dense training",
        when="you claim that a pruned network keeps up with the dense one at an equal budget",
        formula=(
            "s = 0; epochs = E + max over methods of (own epochs)\n"
            "E: epochs of the dense training, where the method starts from it; else 0"
        ),
    )
    starts_from: ClassVar[Literal["init", "dense"]] = "init"
    prunes: ClassVar[bool] = False
    in_all: ClassVar[bool] = False
    longest_knob: ClassVar[str | None] = "epochs"
    epochs: int | None = Field(default=None, ge=1)

    def trials(self, sparsities: tuple[float, ...]) -> list[tuple[float, ...]]:
        return [(0.0,)]

    def phases(self, sparsities: tuple[float, ...], context: PhaseContext) -> list[Phase]:
        epochs = context.train_epochs if self.epochs is None else self.epochs
        if epochs < context.train_epochs:
            raise ValueError(
                f"epochs must be at least the {context.train_epochs} of the recipe, "
                f"but got {epochs}"
            )
        return [
            Train("train", epochs, length=epochs),
            Measure(0.0, level=0),
        ]
