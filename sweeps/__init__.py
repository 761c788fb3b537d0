"""Many trials: a study file becomes a plan, the plan minus what is done goes to Ray Tune.

`sweeps.Study` is a study in a script or notebook.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweeps.cli.python_study import Study

__all__ = ["Study"]


def __getattr__(name: str) -> Any:
    """Import on demand: the commands import only what they need."""
    if name != "Study":
        raise AttributeError(f"module 'sweeps' has no attribute '{name}'")
    from sweeps.cli.python_study import Study

    return Study
