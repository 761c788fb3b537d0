"""Verdicts on claims: inside, outside, by how much, and how sure."""

import pytest

from analysis.replications.claim import Claim, judge
from analysis.replications.quantities import Cell, Value
from tests.analysis.replications.recorded import make_rows

DENSE = Cell("lenet_300_100", "dense")


def claim(kind: str, published: float, tolerance: float) -> Claim:
    return Claim("a", "b", Value(DENSE, "error"), kind, published, tolerance)  # type: ignore[arg-type]


def rows(*errors: float) -> object:
    return make_rows(
        *({"method": "dense", "seed": n, "test_top1": 100 - e} for n, e in enumerate(errors))
    )


@pytest.mark.parametrize(
    ("kind", "published", "inside", "beyond"),
    [
        ("equals", 2.0, True, 0.0),
        ("equals", 1.5, True, 0.0),  # on its bound
        ("equals", 1.4, False, 0.1),
        ("equals", 2.7, False, 0.2),
        ("at least", 2.4, True, 0.0),
        ("at least", 9.0, False, 6.5),
        ("at least", -9.0, True, 0.0),
        ("at most", 1.0, False, 0.5),
        ("at most", 9.0, True, 0.0),
    ],
)
def test_the_mean_decides(kind: str, published: float, inside: bool, beyond: float) -> None:
    verdict = judge(claim(kind, published, 0.5), rows(1.9, 2.0, 2.1))  # type: ignore[arg-type]
    assert verdict.inside is inside and verdict.n == 3
    assert verdict.mean == pytest.approx(2.0) and verdict.beyond == pytest.approx(beyond)
    low, high = verdict.interval or (0, 0)
    assert (low, high) == pytest.approx((2 - 0.2484, 2 + 0.2484), abs=1e-3)  # t(2) = 4.303


def test_a_verdict_is_sure_where_the_whole_interval_agrees() -> None:
    narrow, wide = rows(1.99, 2.0, 2.01), rows(1.0, 2.0, 3.0)
    for published, inside in ((2.0, True), (3.0, False)):
        assert judge(claim("equals", published, 0.5), narrow).surely  # type: ignore[arg-type]
        doubtful = judge(claim("equals", published, 0.5), wide)  # type: ignore[arg-type]
        assert doubtful.inside is inside and not doubtful.surely


def test_one_seed_has_no_interval_and_none_no_verdict() -> None:
    one = judge(claim("equals", 2.0, 0.5), rows(2.0))  # type: ignore[arg-type]
    assert one.inside and one.interval is None and not one.surely
    none = judge(claim("equals", 2.0, 0.5), make_rows({"method": "snip", "seed": 0}))
    assert none.inside is None and none.n == 0
