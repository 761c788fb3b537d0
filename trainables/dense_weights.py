"""The weights of dense trainings in the study directory: stored for other trials, which start from
them or rewind to them."""

from torch import Tensor

from pruning.phases import Phase, Train
from trainables.network import Network
from trainables.storage import checkpoints, layout
from trainables.storage.store import Store
from trainables.storage.visibility import lag_seconds, wait_until_seen
from trainables.trial_spec import TrialSpec, dense_spec


class DenseWeightsMissing(RuntimeError):
    """The dense weights that a trial starts from or rewinds to are not in the study directory."""


def read_dense_weights(store: Store, spec: TrialSpec, epoch: int) -> dict[str, Tensor]:
    """Weights and buffers of the dense training of a trial's seed, as they were before an epoch.
    They were written before this trial was handed out; where a network disk does not list them yet,
    they are waited for.

    Raises:
        DenseWeightsMissing: they are not there, or damaged; a damaged file is deleted, so that it
            is made again.
    """
    folder = layout.state_folder(layout.ARTIFACTS, dense_spec(spec).key)
    if not _await_epochs(store, folder, {epoch}):
        raise DenseWeightsMissing(f"{folder} holds no valid weights of epoch {epoch}")
    newest = checkpoints.read_newest_state(store, folder, "epoch", epoch)
    if newest is None:
        checkpoints.delete_states(store, folder, "epoch", epoch)
        raise DenseWeightsMissing(f"{folder} holds no valid weights of epoch {epoch}")
    return newest[1]


def _await_epochs(store: Store, folder: str, epochs: set[int]) -> bool:
    """Whether weights of these epochs are listed in a folder, at once or within the time that a
    listing may lag behind."""

    def find() -> bool | None:
        return epochs <= checkpoints.list_state_numbers(store, folder, "epoch") or None

    return bool(wait_until_seen(find, lag_seconds(store.uri)))


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
    """Whether all weights that the phases of a trial with rows shall store are there; contents are
    not checked. They were written before the rows, and are waited for as a listing may lag."""
    wanted = {epoch for phase in phases if isinstance(phase, Train) for epoch in phase.publish}
    return _await_epochs(store, layout.state_folder(layout.ARTIFACTS, spec.key), wanted)
