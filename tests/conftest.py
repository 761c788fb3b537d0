"""What all tests share: one thread, a data cache of their own, and short trials on digits."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pruning.user_error import UserError

# Ray's workers step back behind all else by default; beside a second test process they would hardly
# move.
os.environ.setdefault("RAY_worker_niceness", "0")
# torch.compile keeps a pool of processes with all of torch in each, which a few small graphs do not
# need.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--method-path`: the contract tests run over methods of the user's own, too."""
    told = "a file with a method of your own, or a folder of such files, for tests/contract"
    parser.addoption("--method-path", metavar="PATH", action="append", default=[], help=told)


def pytest_configure(config: pytest.Config) -> None:
    from pruning import registry

    places = [
        str(config.invocation_params.dir / place) for place in config.getoption("--method-path")
    ]
    try:
        registry.add_user_files(*places)
    except UserError as error:
        raise pytest.UsageError(f"--method-path: {error}") from None


SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _data_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Prepared data go to a folder of this session."""
    before = os.environ.get("PRUNING_DATA_CACHE")
    os.environ["PRUNING_DATA_CACHE"] = str(tmp_path_factory.mktemp("data"))
    yield
    if before is None:
        del os.environ["PRUNING_DATA_CACHE"]
    else:
        os.environ["PRUNING_DATA_CACHE"] = before


@pytest.fixture(autouse=True)
def _user_methods_of_one_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method file that a test registers is unknown to the tests after it."""
    from pruning import registry

    monkeypatch.setattr(registry, "_USER_METHODS", dict(registry._USER_METHODS))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Two cores are shared with everything else; more threads only make tests slower."""
    import torch

    torch.set_num_threads(1)
    # A trial turns it on for its process; hypothesis refuses to draw floats then.
    torch.set_flush_denormal(False)


@pytest.fixture
def one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ray that a test starts has one core: the trials run one after another in one process, where
    each further one would import everything, which takes seconds."""
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"CPU": 1}')


@pytest.fixture
def shared_data() -> Path:
    """Real CIFAR-10 and MNIST as Parquet; tests that need them are skipped where they
    are absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real data sets in ../shared/data are absent")
    return SHARED_DATA


@pytest.fixture
def open_trial(tmp_path: Path) -> Callable[..., object]:
    """Opens a trial of a spec in the test's own study directory, or in another."""
    from trainables.environment import Environment
    from trainables.trial import Trial
    from trainables.trial_spec import TrialSpec

    def open_in(
        spec: TrialSpec, folder: Path | None = None, *, checkpoint_seconds: float = 60
    ) -> Trial:
        environment = Environment(
            store=str(folder or tmp_path), checkpoint_seconds=checkpoint_seconds
        )
        return Trial(spec, environment)

    return open_in
