"""Trials whose images do not lie on the device: equal in all modes, and continued bit for bit after
a kill at any moment, with any number of loader workers."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pruning.user_error import UserError
from tests.trainables.data.jpeg_folder import write_jpeg_folder
from trainables.data import loader as loaders
from trainables.data.image_loader import ImageLoader
from trainables.data.loader import ResidentLoader, make_loader
from trainables.data.loader_interface import Augment, Batch, Loader
from trainables.environment import Environment
from trainables.training.recipe import Recipe
from trainables.trial import Trial
from trainables.trial_spec import TrialSpec

torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parents[2]
SIZE = 24
MODES = ("resident", "mapped", "streamed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 images of 12 classes."""
    place = tmp_path_factory.mktemp("jpegs")
    return write_jpeg_folder(place, train=200, test=40, classes=12)


@pytest.fixture(autouse=True)
def few_processes() -> Iterator[None]:
    """No loader of one test is left to the next."""
    yield
    loaders._open_images.cache_clear()
    loaders._load_resident.cache_clear()


def make(folder: Path, cache: Path, **changes: object) -> Loader:
    given: dict[str, object] = {
        "hold_out": True,
        "test": True,
        "device": "cpu",
        "image_size": SIZE,
        "augments": ("crop_flip",),
    }
    return make_loader("own", str(folder), str(cache), **(given | changes))  # type: ignore[arg-type]


def take(loader: Loader, augment: Augment, *, batch: int = 32) -> list[Batch]:
    generator = torch.Generator().manual_seed(5)
    return list(loader.training_batches(batch=batch, augment=augment, generator=generator))


def assert_equal(found: list[Batch], expected: list[Batch]) -> None:
    assert found
    for (x, y), (other, labels) in zip(found, expected, strict=True):
        assert torch.equal(x, other) and torch.equal(y, labels)
        assert x.shape[1:] == (3, SIZE, SIZE) and x.stride() == other.stride()


@pytest.mark.parametrize("hold_out", [True, False])
def test_all_modes_give_equal_batches(folder: Path, tmp_path: Path, hold_out: bool) -> None:
    resident, mapped, streamed = (
        make(folder, tmp_path, images=mode, hold_out=hold_out) for mode in MODES
    )
    assert isinstance(resident, ResidentLoader) and isinstance(streamed, ImageLoader)
    for augment in ("crop_flip", "crop", "none"):
        for other in (mapped, streamed):
            assert_equal(take(other, augment), take(resident, augment))
    for split in ("training", "validation", "test"):
        for other in (mapped, streamed):
            assert other.count(split) == resident.count(split)
            if hold_out or split != "validation":
                expected = list(resident.evaluation_batches(split))
                assert_equal(list(other.evaluation_batches(split)), expected)
    drawn = [
        list(loader.draw(50, batch=20, generator=torch.Generator().manual_seed(2)))
        for loader in (resident, mapped, streamed)
    ]
    assert_equal(drawn[1], drawn[0])
    assert_equal(drawn[2], drawn[0])
    for augment in ("resized_crop", ("resized_crop", "trivial_augment", "random_erasing")):
        assert_equal(take(streamed, augment), take(mapped, augment))
    assert resident.data.digest == streamed.data.digest == mapped.data.digest


def test_the_mode_is_chosen_and_said(folder: Path, tmp_path: Path) -> None:
    assert make(folder, tmp_path).placement.startswith("images resident: 0.90 MB on the device")
    chosen = make(folder, tmp_path, augments=("crop", "resized_crop"))
    assert chosen.placement.startswith("images mapped: resized_crop is made image by image; ")
    assert make(folder, tmp_path, images="streamed").placement == "images streamed: asked for"
    again = make(folder, tmp_path, test=False)
    assert again.placement.startswith("images resident: ") and again.count("test") == 0
    assert make(folder, tmp_path) is make(folder, tmp_path)


def test_evaluation_follows_the_first_recipe(folder: Path, tmp_path: Path) -> None:
    plain, cropped, later = (
        make(folder, tmp_path, images="streamed", augments=augments)
        for augments in (("crop_flip",), ("resized_crop",), ("crop_flip", "resized_crop"))
    )
    assert cropped.pool.maker.enlarged and not plain.pool.maker.enlarged  # type: ignore[attr-defined]
    (x, _), (other, _) = (next(one.evaluation_batches("test")) for one in (plain, cropped))
    assert not torch.equal(x, other)
    assert torch.equal(next(later.evaluation_batches("test"))[0], x)


def test_normalisation_can_be_given(folder: Path, tmp_path: Path) -> None:
    own = ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
    for mode in MODES:
        plain = make(folder, tmp_path, images=mode)
        given = make(folder, tmp_path, images=mode, normalise=own)
        assert (given.data.mean, given.data.std) == own and plain.data.mean != own[0]

        def pixels(loader: Loader) -> Tensor:
            x, _ = next(loader.evaluation_batches("test"))
            mean, std = (
                torch.tensor(values).view(-1, 1, 1)
                for values in (loader.data.mean, loader.data.std)
            )
            return x * std + mean

        torch.testing.assert_close(pixels(given), pixels(plain), rtol=0, atol=1e-5)
    with pytest.raises(UserError, match="for each of the 3 channels of 'own', but has 1 and 1"):
        make(folder, tmp_path, normalise=((0.5,), (0.2,)))


def test_what_cannot_be_is_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the images of 'own' differ in size .* image_size: 224"):
        make(folder, tmp_path, image_size=None)
    with pytest.raises(UserError, match="images: resident needs augment none, crop or crop_flip"):
        make(folder, tmp_path, images="resident", augments=("crop", "resized_crop"))
    with pytest.raises(UserError, match="cannot import 'no_such_module' for augment"):
        make(folder, tmp_path, augments=("no_such_module:f",))


def test_images_of_one_size_need_no_size(tmp_path: Path) -> None:
    """Digits, in all modes as on the device."""
    resident, *others = (
        make_loader(
            "digits", None, str(tmp_path), hold_out=True, test=True, device="cpu", images=mode
        )
        for mode in MODES
    )
    for other in others:
        generators = (torch.Generator().manual_seed(5) for _ in range(2))
        found, expected = (
            list(one.training_batches(batch=647, augment="crop_flip", generator=generator))
            for one, generator in zip((other, resident), generators, strict=True)
        )
        assert [len(y) for _, y in found] == [647, 648]
        for (x, y), (same, labels) in zip(found, expected, strict=True):
            assert torch.equal(x, same) and torch.equal(y, labels)


AUGMENTS = ("resized_crop", "trivial_augment", "random_erasing")
RECIPE = Recipe(
    epochs=2,
    batch=32,
    lr=0.05,
    precision="fp32",
    augment=AUGMENTS,
    mixup=0.2,
    cutmix=1.0,
    label_smoothing=0.1,
    changes=({"epoch": 1, "accumulate": 3},),
)
SPEC = TrialSpec(
    dataset="own",
    model="tests.networks.architectures:groups",
    method="dense",
    seed=3,
    recipe=RECIPE,
    image_size=SIZE,
)
LEFT_OUT = {"started", "finished", "train_seconds", "trial_seconds", "attempts", "images", "host"}


def open_here(
    folder: Path, store: Path, images: str, workers: int, *, spec: TrialSpec = SPEC
) -> Trial:
    """A trial with images of a folder, which checkpoints when it is told to."""
    environment = Environment(
        store=str(store),
        data_dir=str(folder),
        data_cache=str(folder.with_name("cache")),
        images=images,  # type: ignore[arg-type]
        loader_workers=workers,
    )
    return Trial(spec, environment)


def rows_of(trial: Trial) -> list[dict[str, object]]:
    """The rows of a trial that was opened when it was done, without times."""
    assert trial.done and not trial.runner.batches
    return [
        {name: value for name, value in row.items() if name not in LEFT_OUT}
        for row in trial.records.rows
    ]


@pytest.fixture(scope="module")
def whole(folder: Path) -> tuple[list[dict[str, object]], dict[str, Tensor]]:
    """Rows and weights of a trial that was not stopped, without loader processes."""
    place = folder.with_name("whole")
    trial = open_here(folder, place, "mapped", 0)
    trial.run()
    assert "images mapped: asked for" in trial.records.rows[0]["images"]
    weights = trial.runner.network.copy_weights()
    return rows_of(open_here(folder, place, "mapped", 0)), weights


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_trial_that_stops_after_every_batch_ends_as_one_that_does_not(
    workers: int,
    folder: Path,
    tmp_path: Path,
    whole: tuple[list[dict[str, object]], dict[str, Tensor]],
) -> None:
    trial, stops = open_here(folder, tmp_path, "streamed", workers), 0
    while not trial.done:
        trial.advance(lambda: True)
        trial.save()
        weights = trial.runner.network.copy_weights()
        trial = open_here(folder, tmp_path, "streamed", workers)
        stops += 1
    assert stops >= 12
    assert rows_of(trial) == whole[0]
    assert all(torch.equal(weights[name], value) for name, value in whole[1].items())


RUN = """
import json
import os
import sys
from pathlib import Path

from tests.trainables.test_streamed_trials import SPEC, open_here, rows_of
from trainables.training.recipe import Recipe

RECIPE = Recipe(**{**SPEC.recipe.model_dump(), "batch": 96})  # as it is saved after each
SPEC = SPEC.model_copy(update={"recipe": RECIPE})


def run(folder, store, images, workers):
    print(os.getpid(), flush=True)
    trial = open_here(Path(folder), Path(store), images, int(workers), spec=SPEC)
    while not trial.done:
        trial.advance(lambda: True)
        trial.save()
        print(trial.position, flush=True)
    trial = open_here(Path(folder), Path(store), images, int(workers), spec=SPEC)
    print(json.dumps(rows_of(trial), default=str, sort_keys=True), flush=True)


if __name__ == "__main__":
    for line in sys.stdin:  # a child for each trial, which need not import everything
        child = os.fork()
        if not child:
            run(*json.loads(line))
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print("ended", code, flush=True)
"""


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that runs a trial in a child of its own for each line that it reads."""
    script = tmp_path / "run.py"
    script.write_text(RUN)
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        yield process
        process.kill()


def run_until(after: int, arguments: list[str], starter: subprocess.Popen[str]) -> str:
    """Run a trial in a process of its own and kill it after so many batches; returns its last
    line."""
    assert starter.stdin and starter.stdout
    starter.stdin.write(json.dumps(arguments) + "\n")
    starter.stdin.flush()
    pid, lines = int(starter.stdout.readline()), [""]
    while not (line := starter.stdout.readline()).startswith("ended"):
        lines.append(line)
        if len(lines) == after + 1:
            os.kill(pid, signal.SIGKILL)
    assert line == f"ended {-signal.SIGKILL if len(lines) > after else 0}\n"
    return lines[-1]


@pytest.mark.slow
def test_three_thousand_files_in_all_modes_and_killed_with_two_workers(
    tmp_path: Path, starter: subprocess.Popen[str]
) -> None:
    """Other numbers of workers are tried above, on fewer files."""
    folder = write_jpeg_folder(tmp_path / "jpegs", train=2700, test=300, classes=50)
    cache = folder.with_name("cache")
    resident, mapped, streamed = (make(folder, cache, images=mode, workers=2) for mode in MODES)
    assert resident.data.classes == 50 and resident.count("training") == 2430
    for other in (mapped, streamed):
        assert_equal(take(other, "crop_flip"), take(resident, "crop_flip"))
    assert_equal(take(streamed, AUGMENTS), take(mapped, AUGMENTS))
    whole = run_until(10**9, [str(folder), str(tmp_path / "whole"), "mapped", "0"], starter)
    (row,) = json.loads(whole)
    assert row["test_top1"] > 2  # one of 50 classes, by chance
    arguments = [str(folder), str(tmp_path / "killed"), "streamed", "2"]
    for after in (8, 15):  # batches since the last kill, of 52
        run_until(after, arguments, starter)
    assert run_until(10**9, arguments, starter) == whole


LIMITED = """
import resource
import sys

LIMIT = 1_500_000_000
resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))  # of this process and of each worker

from pathlib import Path

from tests.peak_memory import peak_memory
from tests.trainables.test_streamed_trials import SPEC, open_here
from trainables.training.recipe import Recipe

if __name__ == "__main__":
    folder, store, workers = sys.argv[1:]
    recipe = Recipe(epochs=1, batch=64, lr=0.05, precision="fp32", augment="resized_crop")
    spec = SPEC.model_copy(update={"recipe": recipe})
    trial = open_here(Path(folder), Path(store), "streamed", int(workers), spec=spec)
    trial.run()
    peak = peak_memory()
    print(trial.runner.loader.count("training"), trial.records.rows[0]["epochs"], peak)
"""


@pytest.mark.slow
def test_a_trial_on_three_gigabytes_of_pixels_in_a_process_of_one_and_a_half(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Preparing the data set and training on it with two workers, each of which has as little."""
    side, count = 450, 5_000  # 3.04 GB decoded
    kinds = write_jpeg_folder(
        tmp_path / "kinds", train=40, test=4, classes=4, least=side, most=side
    )
    folder = tmp_path / "many"
    for number, path in enumerate(sorted(kinds.rglob("*.jpg")) * (count // 44 + 1)):
        copy = folder / path.relative_to(kinds).with_name(f"{number:05d}.jpg")
        copy.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, copy)
    script = tmp_path / "limited.py"
    script.write_text(LIMITED)
    places = [str(folder), str(tmp_path / "store")]
    run = subprocess.run(
        [sys.executable, str(script), *places, "2"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    images, epochs, peak = map(int, run.stdout.split())
    assert images > 4000 and epochs == 1 and peak < 1_500_000_000
    with capsys.disabled():
        print(f" peak memory {peak / 1e9:.2f} GB with two workers")
