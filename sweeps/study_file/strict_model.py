"""The base of every part of a study file: a model that takes no unknown key."""

from pydantic import BaseModel, ConfigDict

LARGEST = 2**63 - 1  # seeds and knobs are stored in 64 bits


class Strict(BaseModel):
    """A part of a study file: unknown keys are errors, and so are infinity and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
