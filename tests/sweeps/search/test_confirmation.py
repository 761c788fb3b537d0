"""The best of a search, confirmed again: what is there stays unless the best has changed."""

from pathlib import Path
from typing import Any

import pytest

from sweeps.cli.invocation import Invocation
from sweeps.cli.study_launch import RunOptions
from sweeps.planning.plan import Plan, make_plan
from sweeps.search import confirmation
from sweeps.search.best_candidates import study_of_the_best
from sweeps.search.candidate_records import Candidate
from sweeps.study_file.study import StudySpec, build_study
from tests.tuneless import make_spec
from trainables.storage.store import Store


def test_confirming_again_keeps_what_is_there_unless_the_best_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[list[float]] = []

    def run_study(
        spec: StudySpec, plan: Plan, store: Store, how: RunOptions, invocation: Invocation
    ) -> int:
        assert how.retry_failed and store.uri.endswith("best")
        ran.append(sorted(spec.sparsities))
        invocation.output["done"] = len(ran)
        return 0

    monkeypatch.setattr(confirmation, "run_study", run_study)
    store = Store.at(tmp_path)
    below = store.below("best")

    def confirm(points: dict[float, int]) -> bool:
        """Whether what was confirmed before is still there."""
        best = {
            sparsity: [Candidate(sparsity, 0, "k", {"iterations": count}, "done", val_top1=90.0)]
            for sparsity, count in points.items()
        }
        raw: dict[str, Any] = study_of_the_best(make_spec(), best)
        kept = f"rows/{len(ran)}.parquet"
        below.write(kept, b"measured")
        invocation = Invocation("search.py", [])
        how = RunOptions(retry_failed=True)
        assert confirmation.confirm_best(raw, store, how, invocation) == 0
        assert invocation.output == {"confirmed": {"done": len(ran)}}
        below.write("plan.json", make_plan(build_study(raw, where="best")).to_json())
        return below.exists(kept)

    assert confirm({0.9: 5}) and confirm({0.9: 5}) and confirm({0.9: 5, 0.95: 7})
    assert "has changed" not in capsys.readouterr().out
    assert not confirm({0.9: 6, 0.95: 7})
    assert "the best has changed since it was confirmed" in capsys.readouterr().out
    assert ran == [[0.9]] * 4  # the first setting; the other sparsity is a further one
