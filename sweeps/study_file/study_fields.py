"""The types of a study file's fields: sparsities, seeds, resources and published numbers."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from pruning.user_error import short
from sweeps.study_file.method_entry import check_knobs
from sweeps.study_file.strict_model import LARGEST, Strict
from trainables.data.image_mode import ImageChoice
from trainables.training.recipe import Count, Number
from trainables.trial_spec import Scalar


def _is_sparsity(value: float) -> float:
    if not 0 <= value < 1:
        hint = f": for {value:g} % write {value / 100:g}" if 2 <= value < 100 else ""
        raise ValueError(f"sparsity must be in [0, 1), but got {value:g}{hint}")
    return value


Sparsity = Annotated[Number, AfterValidator(_is_sparsity)]


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{,99}", name):
        raise ValueError(
            "must be at most 100 letters, digits, '_', '-' and '.', and begin with a letter or "
            f"a digit, but got {short(name)}"
        )
    return name


StudyName = Annotated[str, AfterValidator(_check_name)]


def _refuse_list(raw: Any) -> Any:
    if isinstance(raw, list) and raw:
        raise ValueError(
            f"must be one name, but got {short(raw)}: give each further one in a setting of "
            "its own, in also"
        )
    return raw


OneName = Annotated[str, BeforeValidator(_refuse_list)]
"""Of a data set or a network."""


def refuse_count(raw: Any) -> Any:
    """Seeds as they stand; `seeds: 3` may mean one or three.

    Raises:
        ValueError: it is a number.
    """
    if isinstance(raw, int) and not isinstance(raw, bool) and 1 < raw <= 20:
        raise ValueError(
            f"must be a list, but got {raw}: write [{raw}], or {list(range(raw))} for {raw} seeds"
        )
    return raw


def _list_patterns(raw: Any) -> Any:
    return [] if raw is None else [raw] if isinstance(raw, str) else raw


Pattern = Annotated[str, Field(min_length=1, max_length=200)]
Patterns = Annotated[list[Pattern], BeforeValidator(_list_patterns), Field(max_length=1000)]
"""Layers by name, or by a pattern with `*`, `?` and `[...]`; one may stand for a list."""
Seed = Annotated[Count, Field(ge=0, le=LARGEST)]


class Resources(Strict):
    """What one trial takes of the cluster. Fractions of a GPU let several trials share it; several
    GPUs, on one machine, share the batches of a trial."""

    cpus_per_trial: Number = Field(default=1, gt=0, le=10_000, description="cores, and so threads")
    gpus_per_trial: Number = Field(
        default=0,
        ge=0,
        le=1000,
        description="0.25: four trials on a GPU; 2: the batches of a trial are shared by two GPUs",
    )
    ranks_per_trial: Annotated[Count, Field(ge=1, le=1000)] | None = Field(
        default=None,
        description="processes that share the batches of a trial, data parallel; as many as GPUs, "
        "without GPUs 1",
    )
    images: ImageChoice = Field(
        default="auto", description="where images live while trials run; auto: by what fits"
    )
    loader_workers: Annotated[Count, Field(ge=0, le=1000)] | None = Field(
        default=None, description="processes that decode images; as many as cores are left over"
    )

    deterministic: bool = Field(
        default=True, description="GPUs compute by kernels that give the same bits again"
    )
    cuda_graphs: bool = Field(
        default=True,
        description="training steps on GPUs are replayed as CUDA graphs where that gives the same "
        "bits",
    )

    @property
    def ranks(self) -> int:
        """Processes that share the batches of a trial."""
        return self.ranks_per_trial or max(1, int(self.gpus_per_trial))

    @property
    def threads(self) -> int:
        """Threads of each rank."""
        return max(1, int(self.cpus_per_trial) // self.ranks)

    @property
    def workers(self) -> int:
        """Processes of each rank that make batches of images which are not on its device."""
        if self.loader_workers is not None:
            return -(-self.loader_workers // self.ranks)
        busy = 0 if self.gpus_per_trial else 1  # on a CPU the rank itself takes a core
        return max(0, int(self.cpus_per_trial) // self.ranks - busy)

    @model_validator(mode="after")
    def _as_ray_counts(self) -> Self:
        for name in ("cpus_per_trial", "gpus_per_trial"):
            value = getattr(self, name)
            if value != round(value, 4):
                raise ValueError(f"{name} must have at most 4 decimals, but got {value:g}")
        gpus = self.gpus_per_trial
        if gpus > 1 and gpus != int(gpus):
            raise ValueError(
                "a trial runs on a part of one GPU or on whole ones: gpus_per_trial must be at "
                f"most 1 or a whole number, but got {gpus:g}"
            )
        return self

    @model_validator(mode="after")
    def _ranks_fit(self) -> Self:
        if self.gpus_per_trial and self.ranks != max(1, int(self.gpus_per_trial)):
            raise ValueError(
                "each rank has a GPU: leave out ranks_per_trial, or give as many gpus_per_trial, "
                f"but got {self.ranks} and {self.gpus_per_trial:g}"
            )
        if self.ranks > 1 and self.cpus_per_trial < self.ranks:
            raise ValueError(
                f"each of the {self.ranks} ranks of a trial needs a core: cpus_per_trial must be "
                f"at least {self.ranks}, but got {self.cpus_per_trial:g}"
            )
        if self.ranks > 1 and not self.deterministic:
            raise ValueError(
                "deterministic: false cannot go with several ranks, which must all compute the "
                "same masks"
            )
        return self


SpreadKind = Literal[
    "standard deviation", "standard error", "95 % interval", "half range", "reading"
]


class Published(Strict):
    """A number from the literature that the tables show beside ours."""

    dataset: str = Field(description="as in the study")
    model: str = Field(description="as in the study")
    method: str = Field(description="by the name it has here")
    knobs: dict[str, Scalar] = Field(default={}, description="of the method, where not the default")
    sparsity: Sparsity = Field(description="the fraction of zeros that the number is for")
    metric: str = Field(default="test_top1", description="a column of the rows")
    value: Number = Field(description="the number, in the unit of that column")
    spread: Number | None = Field(
        default=None, ge=0, description="what stands after ± there, in the same unit"
    )
    spread_is: SpreadKind | None = Field(
        default=None, description="what that is; reading: how exactly a figure could be read"
    )
    n: Count | None = Field(default=None, ge=1, le=10_000, description="runs it is the mean of")
    source: str = Field(description="the paper or repository it stands in")
    note: str = Field(default="", description="what differs there, e.g. best epoch")

    @field_validator("knobs", mode="plain")
    @classmethod
    def _values(cls, raw: Any) -> Any:
        return check_knobs(raw, axes=False)

    @model_validator(mode="after")
    def _spread(self) -> Self:
        if (self.spread is None) != (self.spread_is is None):
            raise ValueError("spread and spread_is belong together: give both or neither")
        return self
