"""What a method is given when it prunes or changes masks: the network, its masks, images, and a
generator of random numbers for this one call."""

from dataclasses import dataclass

from pruning.method import PruneInput
from pruning.method_calls import IMAGE_BATCH, make_prune_input
from trainables.data.loader_interface import Loader
from trainables.network import Network
from trainables.trial_records import TrialRecords
from trainables.trial_spec import TrialSpec


@dataclass(frozen=True)
class PruneInputs:
    """Makes the inputs of a method's calls in one trial."""

    spec: TrialSpec
    loader: Loader
    network: Network
    records: TrialRecords

    def make(
        self,
        sparsity: float | None,
        purpose: str,
        number: int,
        *,
        last: bool = True,
        progress: float = 0.0,
        interval: float = 0.0,
    ) -> PruneInput:
        """The input of one call.

        Args:
            purpose, number: name the random numbers of this call: "prune" and the level, or
                "update" and the optimiser step. Its images have random numbers of their own.
        """
        return make_prune_input(
            self.network,
            sparsity,
            seed=self.spec.seed,
            purpose=purpose,
            number=number,
            draw=lambda count, generator: self.loader.draw(
                count, batch=IMAGE_BATCH, generator=generator
            ),
            memory=self.records.memory,
            level=self.records.level,
            last=last,
            progress=progress,
            interval=interval,
        )
