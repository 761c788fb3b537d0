"""What of a study has no latency yet: its levels, and the forms of their networks with equal ones
put together."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from pruning.user_error import UserError
from sweeps.planning.plan import Plan
from sweeps.study_file.study import StudySpec
from trainables.data.prepared import obtain
from trainables.storage import parquet_tables
from trainables.storage.store import Store, StoreLost
from trainables.timing.network_structure import Form, read_forms

Images = Mapping[str, tuple[tuple[int, int, int], int]]
"""By data set: (channels, height, width) of an image, and the number of classes."""


@dataclass(frozen=True)
class Level:
    """One row of the study: a measured level of a trial."""

    key: str
    level: int
    stage: str


@dataclass(frozen=True)
class Unmeasured:
    """What is left to measure.

    forms: the first of each, in the order of the plan, by what makes forms alike. levels: those
    that share it. refused: trials whose records do not tell their forms, with the reason.
    """

    forms: dict[Hashable, Form] = field(default_factory=dict)
    levels: dict[Hashable, list[Level]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def find_keys(plan: Plan, done: frozenset[str], store: Store) -> list[str]:
    """Keys of trials that are done and have no latency file, in the order of the plan."""
    measured = set(store.list("latency", ".parquet"))
    return [key for key in plan.by_key if key in done and path(key) not in measured]


def find_images(spec: StudySpec) -> Images:
    """The image sizes and classes of the study's data sets.

    Raises:
        UserError: a data set cannot be had.
    """
    try:
        found = {s.dataset: obtain(s.dataset, data_dir=s.data_dir) for s in spec.settings}
    except UserError as error:
        raise UserError(str(error)) from None
    return {name: (data.image, data.classes) for name, data in found.items()}


def find_forms(plan: Plan, keys: Sequence[str], store: Store, images: Images) -> Unmeasured:
    """Read what the trials recorded of their networks, each file once, and put equal forms
    together.

    Raises:
        StoreLost: the study directory cannot be used any more.
    """

    def read(key: str) -> dict[tuple[int, str], Form] | str:
        spec = plan.by_key[key].spec
        try:
            rows, layers = (
                parquet_tables.decode(
                    table, store.read(f"{table}/{key}.parquet"), key=key
                ).to_pylist()
                for table in ("rows", "layers")
            )
            return read_forms(spec, *images[spec.dataset], rows=rows, layers=layers)
        except StoreLost:
            raise
        except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
            return one_line(error)

    found = Unmeasured()
    for key, forms in zip(keys, store.spread(read, keys), strict=True):
        if isinstance(forms, str):
            found.refused[key] = forms
            continue
        for (level, stage), form in forms.items():
            found.forms.setdefault(form.alike, form)
            found.levels.setdefault(form.alike, []).append(Level(key, level, stage))
    return found


def path(key: str) -> str:
    """The latency file of a trial, relative to the study directory."""
    return f"latency/{key}.parquet"


def one_line(error: Exception) -> str:
    """An error as one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
