"""The levels of a study that have no latency yet, and the structures of their networks, with equal
ones put together."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from sweeps.planning.plan import Plan
from sweeps.study_file.study import StudySpec
from trainables.data.data_size import read_data_size
from trainables.storage import layout, parquet_tables
from trainables.storage.store import Store, StoreLost
from trainables.timing.network_structure import NetworkStructure, collect_structures

Images = Mapping[tuple[str, int | None], tuple[tuple[int, int, int], int]]
"""By data set: (channels, height, width) of an image, and the number of classes."""


@dataclass(frozen=True)
class Level:
    """One row of the study: a measured level of a trial."""

    key: str
    level: int
    stage: str


@dataclass(frozen=True)
class PendingLatency:
    """What is left to time.

    structures: each one once, in the order of the plan, by what makes structures alike. levels:
    those that share it. refused: why the structures of a trial cannot be read, by its key.
    """

    structures: dict[Hashable, NetworkStructure] = field(default_factory=dict)
    levels: dict[Hashable, list[Level]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def find_pending_keys(plan: Plan, done: frozenset[str], store: Store) -> list[str]:
    """Keys of trials that are done and have no latency file, in the order of the plan."""
    timed = set(store.list(layout.LATENCY, ".parquet"))
    return [
        key
        for key in plan.by_key
        if key in done and layout.table_file(layout.LATENCY, key) not in timed
    ]


def read_image_sizes(spec: StudySpec) -> Images:
    """The image sizes and numbers of classes of the study's data sets, by name and the size that
    images are brought to.

    Raises:
        UserError: a data set cannot be had.
    """
    sizes = {}
    for setting in spec.settings:
        size = read_data_size(setting.dataset, setting.data_dir, setting.image_size)
        sizes[setting.dataset, setting.image_size] = (size.image, size.classes)
    return sizes


def find_pending(plan: Plan, keys: Sequence[str], store: Store, images: Images) -> PendingLatency:
    """Read what the trials recorded of their networks, each file once, and put equal structures
    together.

    Raises:
        StoreLost: the study directory cannot be used any more.
    """

    def read(key: str) -> dict[tuple[int, str], NetworkStructure] | str:
        spec = plan.by_key[key].spec
        try:
            rows, layers = (
                parquet_tables.read_table(store, table, key).to_pylist()
                for table in (layout.ROWS, layout.LAYERS)
            )
            image, classes = images[spec.dataset, spec.image_size]
            return collect_structures(spec, image, classes, rows=rows, layers=layers)
        except StoreLost:
            raise
        except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
            return error_in_one_line(error)

    pending = PendingLatency()
    for key, structures in zip(keys, store.parallel_map(read, keys), strict=True):
        if isinstance(structures, str):
            pending.refused[key] = structures
            continue
        for (level, stage), structure in structures.items():
            pending.structures.setdefault(structure.timing_key, structure)
            pending.levels.setdefault(structure.timing_key, []).append(Level(key, level, stage))
    return pending


def error_in_one_line(error: Exception) -> str:
    """An error as one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
