"""The weights of dense trainings in the study directory: stored for other trials, which start from
them or rewind to them."""

from torch import Tensor

from pruning.phases import Phase, Train
from trainables.network import Network
from trainables.storage import checkpoints, layout
from trainables.storage.store import Store
from trainables.trial_spec import TrialSpec, dense_spec


class DenseWeightsMissing(RuntimeError):
    """The dense weights that a trial starts from or rewinds to are not in the study directory."""


def read_dense_weights(store: Store, spec: TrialSpec, epoch: int) -> dict[str, Tensor]:
    """Weights and buffers of the dense training of a trial's seed, as they were before an epoch.

    Raises:
        DenseWeightsMissing: they are not there, or damaged; a damaged file is deleted, so that it
            is made again.
    """
    folder = layout.state_folder(layout.ARTIFACTS, dense_spec(spec).key)
    newest = checkpoints.read_newest_state(store, folder, "epoch", epoch)
    if newest is None:
        checkpoints.delete_states(store, folder, "epoch", epoch)
        raise DenseWeightsMissing(f"{folder} holds no valid weights of epoch {epoch}")
    return newest[1]


def store_weights_of_epoch(
    store: Store, spec: TrialSpec, phase: Train, epoch: int, network: Network
) -> None:
    """Store the weights as they are before an epoch, where the phase asks for it and they are not
    there yet."""
    folder = layout.state_folder(layout.ARTIFACTS, spec.key)
    stored = checkpoints.list_state_numbers(store, folder, "epoch")
    if epoch in phase.publish and epoch not in stored:
        checkpoints.publish_state(store, folder, "epoch", epoch, network.copy_weights())


def has_stored_weights(store: Store, spec: TrialSpec, phases: list[Phase]) -> bool:
    """Whether all weights that the phases of a trial shall store are there; contents are not
    checked."""
    wanted = {epoch for phase in phases if isinstance(phase, Train) for epoch in phase.publish}
    folder = layout.state_folder(layout.ARTIFACTS, spec.key)
    return wanted <= checkpoints.list_state_numbers(store, folder, "epoch")
