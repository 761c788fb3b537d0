"""Errors that pass are waited for, the others are one line at once."""

import errno
import pickle
import random
from collections.abc import Callable

import pytest

from trainables.storage import retry
from trainables.storage.retry import (
    StoreForbidden,
    StoreFull,
    StoreLost,
    StoreReadOnly,
    StoreUnreachable,
    retry_with_backoff,
)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Lets the time pass without waiting; the pauses that were made."""
    made: list[float] = []
    monkeypatch.setattr(retry.time, "sleep", made.append)
    monkeypatch.setattr(retry.time, "monotonic", lambda: 1000 + sum(made))
    return made


def failing(times: float, error: OSError) -> Callable[[], str]:
    left = [times]

    def act() -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise error
        return "done"

    return act


def test_it_goes_on_with_growing_pauses_of_random_length(pauses: list[float]) -> None:
    assert (
        retry_with_backoff(
            failing(9, OSError(errno.EIO, "x")), "/x", classify=lambda error: StoreUnreachable
        )
        == "done"
    )
    full = [min(0.1 * 2**number, 8) for number in range(9)]
    assert all(0.5 * bound <= pause <= bound for pause, bound in zip(pauses, full, strict=True))
    assert len({pause / bound for pause, bound in zip(pauses, full, strict=True)}) == 9


@pytest.mark.parametrize(("told", "seconds"), [(None, 60), ("7", 7), ("0", 0)])
def test_it_gives_up_when_patience_is_over(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch, told: str | None, seconds: float
) -> None:
    monkeypatch.delenv("PRUNING_STORE_PATIENCE", raising=False)
    if told is not None:
        monkeypatch.setenv("PRUNING_STORE_PATIENCE", told)
    with pytest.raises(StoreUnreachable) as caught:
        retry_with_backoff(
            failing(1e9, OSError(errno.EIO, "no\nanswer")),
            "/x/y",
            classify=lambda error: StoreUnreachable,
        )
    assert seconds - 8 <= sum(pauses) <= seconds
    assert str(caught.value) == (
        f"/x/y did not answer for {seconds} s (no answer): run the same command again when it "
        "does; "
        "finished rows are safe"
    )
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("kind", [StoreFull, StoreForbidden, StoreReadOnly])
def test_what_does_not_pass_is_told_at_once(pauses: list[float], kind: type[StoreLost]) -> None:
    error = OSError("When uploading key 'a' in bucket 'b': AWS Error " + "long " * 100)
    with pytest.raises(
        kind, match=r"^.*s3://b/c.*\(AWS Error long .*\): .*run the same command again;"
    ) as caught:
        retry_with_backoff(failing(1, error), "s3://b/c", classify=lambda error: kind)
    assert not pauses and "\n" not in str(caught.value) and len(str(caught.value)) < 400
    again = pickle.loads(pickle.dumps(caught.value))  # Ray sends it from a worker to the driver
    assert type(again) is kind and str(again) == str(caught.value) and isinstance(again, OSError)


def test_what_says_nothing_of_the_store_is_raised_as_it_is(pauses: list[float]) -> None:
    error = FileNotFoundError(errno.ENOENT, "x")
    with pytest.raises(FileNotFoundError) as caught:
        retry_with_backoff(failing(1, error), "/x", classify=lambda error: None)
    assert caught.value is error and not pauses


def test_an_outage_draws_nothing_from_the_random_numbers_of_a_trial(pauses: list[float]) -> None:
    random.seed(0)
    before = random.getstate()
    retry_with_backoff(
        failing(5, OSError(errno.EIO, "x")), "/x", classify=lambda error: StoreUnreachable
    )
    assert random.getstate() == before
