"""The study directory as the only truth: what is damaged is not done, and what the dead left behind
is tidied."""

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sweeps.planning.plan import Plan, make_plan
from sweeps.planning.trial_status import (
    await_trial_status,
    delete_leftovers,
    forget_failures,
    read_trial_status,
    record_failure,
)
from sweeps.study_file.study import build_study
from trainables.environment import Environment
from trainables.storage import checkpoints, parquet_tables, schema
from trainables.storage.local_disk import Disk
from trainables.storage.parquet_checksum import add_checksum
from trainables.storage.store import Store
from trainables.trial import Trial


@pytest.fixture(scope="module")
def plan() -> Plan:
    raw = {
        "name": "ledger",
        "dataset": "digits",
        "model": "mlp",
        "recipe": {"epochs": 1, "batch": 500},
        "methods": ["magnitude_post", "random"],
        "sparsities": [0.5],
        "seeds": [0],
    }
    return make_plan(build_study(raw, where="test"))


@pytest.fixture
def done(plan: Plan, tmp_path: Path) -> Store:
    """A study directory in which every trial is done."""
    for trial in plan.trials:
        Trial(trial.spec, Environment(store=str(tmp_path))).run()
    return Store.at(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PAR1",
        b"not parquet",
        "half",
        "flipped",
        "empty table",
        "another's",
        "curves",
        "forged",
    ],
)
def test_damaged_rows_are_not_done_and_are_written_anew(
    content: bytes | str, plan: Plan, done: Store
) -> None:
    key = plan.trials[-1].key
    path = f"rows/{key}.parquet"
    whole = done.read(path)
    before = parquet_tables.decode_table("rows", whole).to_pylist()
    spoilt = {
        "half": whole[: len(whole) // 2],
        "flipped": whole[:-20] + bytes([whole[-20] ^ 255]) + whole[-19:],
        "empty table": parquet_tables.encode_table("rows", []),
        "another's": done.read(f"rows/{plan.trials[0].key}.parquet"),
        "curves": done.read(f"curves/{key}.parquet"),
        "forged": add_checksum(
            b"PAR1 no table \x00\x00\x00\x00PAR1", {"table": "rows", "keys": [key]}
        ),
    }
    done.write(path, spoilt[content] if isinstance(content, str) else content)
    found = read_trial_status(plan, done)
    assert found.damaged == found.missing == (key,)
    assert key not in found.done and len(found.done) == len(plan.trials) - 1
    Trial(plan.by_key[key].spec, Environment(store=done.uri)).run()
    again = parquet_tables.decode_table("rows", done.read(path)).to_pylist()
    assert read_trial_status(plan, done).missing == ()
    same = [
        {name: value for name, value in row.items() if name not in schema.CIRCUMSTANCES}
        for row in before
    ]
    assert [
        {n: v for n, v in row.items() if n not in schema.CIRCUMSTANCES} for row in again
    ] == same


def test_rows_of_before_there_were_seals_are_done_and_their_cost_is_known(
    plan: Plan, done: Store
) -> None:
    before = read_trial_status(plan, done)
    assert before.done == set(plan.by_key) and {
        spent.epochs for spent in before.spent.values()
    } == {0, 1}
    for key in plan.by_key:
        buffer = io.BytesIO()
        pq.write_table(
            parquet_tables.decode_table("rows", done.read(f"rows/{key}.parquet")), buffer
        )
        done.write(f"rows/{key}.parquet", buffer.getvalue())
    assert read_trial_status(plan, done) == before


@pytest.mark.parametrize("place", ["first page", "note", "mark", "digest", "footer", "length"])
def test_one_flipped_bit_anywhere_is_noticed_or_changes_nothing(
    place: str, plan: Plan, done: Store
) -> None:
    key = plan.trials[-1].key
    whole, before = done.read(f"rows/{key}.parquet"), read_trial_status(plan, done)
    mark = whole.index(b"sha-256:")
    at = {
        "first page": 40,
        "note": mark - 20,
        "mark": mark,
        "digest": mark + 12,
        "footer": mark + 60,
        "length": -6,
    }
    damaged = bytearray(whole)
    damaged[at[place]] ^= 4
    done.write(f"rows/{key}.parquet", bytes(damaged))
    found = read_trial_status(plan, done)
    assert found == before if place == "mark" else found.damaged == (key,)


def test_rows_are_written_once(plan: Plan, done: Store) -> None:
    """A predecessor that comes back to life ends without touching what its successor wrote."""
    spec = plan.trials[-1].spec
    done.delete(f"rows/{spec.key}.parquet")
    zombie = Trial(spec, Environment(store=done.uri))
    zombie.advance()
    Trial(spec, Environment(store=done.uri)).run()
    written = done.read(f"rows/{spec.key}.parquet")
    zombie.run()
    assert done.read(f"rows/{spec.key}.parquet") == written


@pytest.mark.parametrize("damage", ["truncated", "gone"])
def test_dense_weights_that_are_damaged_are_made_anew(damage: str, plan: Plan, done: Store) -> None:
    from trainables.dense_weights import DenseWeightsMissing

    child = next(trial for trial in plan.trials if trial.spec.method == "magnitude_post")
    dense = child.parents[0]
    (last,) = (path for path in done.list(f"artifacts/{dense}") if "epoch-000001-" in path)
    content = done.read(last)
    done.delete(f"rows/{child.key}.parquet")
    if damage == "gone":
        done.delete(last)
    else:
        done.write(last, content[:-100])
        assert read_trial_status(plan, done).missing == (child.key,)
        with (
            pytest.warns(UserWarning, match="does not match its checksum"),
            pytest.raises(DenseWeightsMissing, match="holds no valid weights of epoch 1"),
        ):
            Trial(child.spec, Environment(store=done.uri))
    found = read_trial_status(plan, done)
    assert found.missing == (dense, child.key)
    for key in found.missing:
        Trial(plan.by_key[key].spec, Environment(store=done.uri)).run()
    assert read_trial_status(plan, done).missing == ()
    assert done.read(last) == content, "bit-equal, down to the checksum in its name"


def test_dense_weights_that_cannot_be_made_again_are_a_failure_that_can_be_retried(
    plan: Plan, done: Store
) -> None:
    child = next(trial for trial in plan.trials if trial.spec.method == "magnitude_post")
    (dense,) = child.parents
    done.delete(f"rows/{child.key}.parquet")
    done.delete(f"artifacts/{dense}")
    record_failure(done, dense, "out of memory")
    found = read_trial_status(plan, done)
    assert {key: one.error for key, one in found.failed.items()} == {dense: "out of memory"}
    assert found.blocked == {child.key: dense} and found.missing == ()
    assert read_trial_status(plan, done, retry_failed=True).missing == (dense, child.key)
    forget_failures(done, found.failed)
    assert read_trial_status(plan, done).missing == (dense, child.key)


def test_checkpoints_of_trials_that_are_done_are_tidied_away_and_no_others(
    plan: Plan, done: Store
) -> None:
    finished, running = plan.trials[0].key, plan.trials[-1].key
    done.delete(f"rows/{running}.parquet")
    for key in (finished, running):
        checkpoints.publish_state(done, f"checkpoints/{key}", "step", 1, {})
    delete_leftovers(done, read_trial_status(plan, done).done)
    assert {path.rpartition("/")[0] for path in done.list("checkpoints")} == {
        f"checkpoints/{running}"
    }


def test_rows_that_a_listing_does_not_show_yet_are_read_by_their_names(
    plan: Plan, done: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a launch the driver knows which trials have said that they are done."""
    reported = set(plan.by_key)
    monkeypatch.setenv("PRUNING_STORE_LAG", "0.2")
    list_at_once = Disk.list
    monkeypatch.setattr(
        Disk, "list", lambda disk, folder: [] if folder == "rows" else list_at_once(disk, folder)
    )
    assert read_trial_status(plan, done).missing == tuple(plan.by_key)
    assert await_trial_status(plan, done, reported).missing == ()
    lost = next(iter(reported))
    done.delete(f"rows/{lost}.parquet")
    monkeypatch.setattr(Disk, "list", list_at_once)
    assert lost in await_trial_status(plan, done, reported).missing, "it is not waited for for ever"
