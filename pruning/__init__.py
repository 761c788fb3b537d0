"""Pruning methods: a model and batches in, masks or a smaller model out. Knows nothing of studies
or Ray, and of no files but those that the user names.

`pruning.prune` prunes a network in a script of the user's, `pruning.load` reads one that was saved.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pruning.own_code.mask_schedule import MaskSchedule
    from pruning.own_code.optimizer_hold import OptimizerHold
    from pruning.own_code.prune_call import prune
    from pruning.own_code.pruned import Pruned
    from pruning.own_code.pruned_reader import load
    from pruning.user_error import UserError

__all__ = ["MaskSchedule", "OptimizerHold", "Pruned", "UserError", "load", "prune"]

_PLACES = {
    "prune": "pruning.own_code.prune_call",
    "load": "pruning.own_code.pruned_reader",
    "Pruned": "pruning.own_code.pruned",
    "OptimizerHold": "pruning.own_code.optimizer_hold",
    "MaskSchedule": "pruning.own_code.mask_schedule",
    "UserError": "pruning.user_error",
}


def __getattr__(name: str) -> Any:
    """Import on demand: studies are planned with this package, without torch."""
    from importlib import import_module

    if name not in _PLACES:
        raise AttributeError(f"module 'pruning' has no attribute '{name}'")
    return getattr(import_module(_PLACES[name]), name)
