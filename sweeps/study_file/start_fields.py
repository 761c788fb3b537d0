"""What a study says of the beginning of its trials: trained weights, and the form of images."""

from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BeforeValidator, Discriminator, Field, Tag, model_validator

from pruning.user_error import short
from sweeps.study_file.strict_model import Strict
from sweeps.study_file.study_fields import Patterns
from trainables.data.loader_interface import MeanStd
from trainables.training.recipe import Count, Number

IMAGENET: MeanStd = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class StartWeights(Strict):
    """Trained weights that every trial begins with in place of random ones.

    `source` is a file, an address of one, `torchvision:default` or the name of its weights,
    `timm:TAG`, a network of a study as `STUDY_DIR#KEY`, or `package.module:function`. Layers that
    are `fresh` are drawn from the seed.
    """

    source: str = Field(
        min_length=1,
        max_length=2000,
        validation_alias=AliasChoices("source", "file"),
        description="a file, torchvision:default, timm:TAG, STUDY_DIR#KEY or module:function",
    )
    head: Literal["keep", "fresh"] = Field(
        default="keep", description="fresh: a new classifier, drawn from the seed"
    )
    fresh: Patterns = Field(
        default=[], description="further layers to draw anew, by name or pattern"
    )
    digest: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{16}$",
        description="of the tensors; the study fills it in",
    )

    @property
    def fresh_layers(self) -> tuple[str, ...]:
        """Layers to draw anew, by name or pattern; "head" is the classifier."""
        return (*(("head",) if self.head == "fresh" else ()), *self.fresh)


def _read_source(raw: Any) -> Any:
    if raw is not None and not isinstance(raw, str | dict | StartWeights):
        raise ValueError(
            "must be a file, torchvision:default, timm:TAG, STUDY_DIR#KEY or module:function, "
            f"but got {short(raw)}"
        )
    return {"source": raw} if isinstance(raw, str) else raw


Weights = Annotated[StartWeights | None, BeforeValidator(_read_source)]
"""A source alone may stand for the mapping."""
Size = Annotated[Count, Field(ge=8, le=4096)]


class ChannelStatistics(Strict):
    """Mean and standard deviation of each channel, in 0..1, by which images are normalised."""

    mean: list[Annotated[Number, Field(ge=0, le=1)]] = Field(
        min_length=1, max_length=4, description="one number per channel"
    )
    std: list[Annotated[Number, Field(gt=0, le=1)]] = Field(
        min_length=1, max_length=4, description="one number per channel"
    )

    @model_validator(mode="after")
    def _equal_lengths(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"mean and std need one number per channel each, but got {len(self.mean)} and "
                f"{len(self.std)}"
            )
        return self


def _kind_of_normalise(raw: Any) -> str:
    return "given-name" if isinstance(raw, str) else "given-numbers"


Normalisation = Annotated[
    Annotated[Literal["imagenet", "data"], Tag("given-name")]
    | Annotated[ChannelStatistics, Tag("given-numbers")],
    Discriminator(_kind_of_normalise),
]


def find_normalise(given: ChannelStatistics | str | None) -> MeanStd | None:
    """Mean and std of a study's `normalise`; None for those of the data."""
    if isinstance(given, ChannelStatistics):
        return tuple(given.mean), tuple(given.std)
    return IMAGENET if given == "imagenet" else None
