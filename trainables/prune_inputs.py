"""What a method is given when it prunes or changes masks: the network, its masks, images, and a
generator of random numbers for this one call."""

from dataclasses import dataclass

from pruning.method import PruneInput
from trainables.data.loader_interface import Loader
from trainables.network import Network
from trainables.training.seeds import make_generator
from trainables.trial_records import TrialRecords
from trainables.trial_spec import TrialSpec

# Whatever the batch of the recipe: what a method computes per batch, as Taylor's mean over batches
# or Wanda's batch statistics, must not depend on how the network is trained.
IMAGE_BATCH = 128


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
        seed, memory = self.spec.seed, self.records.memory
        # What a checkpoint held lies on the CPU, wherever it was written.
        memory.update({name: value.to(self.network.device) for name, value in memory.items()})
        return PruneInput(
            model=self.network.model,
            masks=self.network.masks,
            sparsity=sparsity,
            level=self.records.level,
            generator=make_generator(seed, purpose, number),
            images=lambda count: self.loader.draw(
                count, batch=IMAGE_BATCH, generator=make_generator(seed, "images", purpose, number)
            ),
            image=self.loader.data.image,
            last=last,
            fixed=self.network.fixed_sparsities(sparsity),
            memory=memory,
            progress=progress,
            interval=interval,
        )
