"""The statistics of paired runs."""

from collections.abc import Sequence

import numpy as np
import pytest
from conftest import Note
from made_runs import ELBO, ends_of
from scipy import stats

from lossbench.columns import METRICS
from lossbench.comparison import MetricDifference
from lossbench.comparison.difference import holm, paired


def one_cell(a: Sequence[float], b: Sequence[float]) -> MetricDifference:
    """Return the paired comparison of one cell."""
    return paired(ELBO, [a], [b], [True])[0]


@pytest.mark.parametrize("n", [2, 3, 10])
def test_the_interval_is_that_of_the_paired_t_test(n: int) -> None:
    """Interval and p-value are those of scipy.stats.ttest_rel."""
    a, b = np.random.default_rng(n).normal(size=(2, n))
    reference = stats.ttest_rel(b, a)
    low, high = reference.confidence_interval(0.95)
    ours = one_cell(a.tolist(), b.tolist())
    assert (ours.low, ours.high) == (pytest.approx(low), pytest.approx(high))
    assert ours.p == pytest.approx(reference.pvalue)
    assert ours.difference == pytest.approx(float((b - a).mean()))


@pytest.mark.parametrize("n", [5, 10, 20])
def test_intervals_cover_and_p_is_uniform_without_an_effect(n: int, note: Note) -> None:
    """Of 2,000 draws about 95% of intervals hold the truth, and p passes for uniform."""
    a, noise = np.random.default_rng(20 + n).normal(size=(2, 2000, n))
    b = 0.9 * a + 0.4 * noise
    found = paired(ELBO, a.tolist(), b.tolist(), [True] * len(a))
    covered = np.mean([low <= 0 <= high for low, high in map(ends_of, found)])
    uniform = stats.kstest([one.p for one in found], "uniform").pvalue
    held = 0.935 <= covered <= 0.965 and uniform > 0.01
    figure = f"95% interval covers {covered:.2%}, p uniform (Kolmogorov-Smirnov p {uniform:.2f})"
    note(f"comparisons are right (n = {n})", 2000, 2000 if held else 0, figure, "simulated pairs")
    assert held, figure


def test_one_pair_has_no_interval() -> None:
    """A single pair has a difference but neither interval nor p."""
    one = one_cell([1.0], [3.0])
    assert (one.difference, one.low, one.high, one.p) == (2.0, None, None, None)


def test_a_constant_difference_has_no_p() -> None:
    """Differences without spread, but for rounding, have an interval of width 0 and no p."""
    a = [0.1, 0.2, 0.3]
    one = one_cell(a, [x + 0.7 for x in a])
    assert (one.half_width, one.p) == (0.0, None)
    assert one_cell(a, a).difference == 0


def test_an_unknown_metric_stays_unknown() -> None:
    """A pair with a missing number is left out; with none left nothing is said."""
    assert one_cell([1.0, float("nan")], [2.0, 3.0]).n == 1
    assert one_cell([float("nan")], [2.0]).difference is None


def test_holm_agrees_with_a_hand_worked_example() -> None:
    """P = 0.01, 0.04, 0.03, 0.005 become 0.03, 0.06, 0.06, 0.02."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([None, 0.02]) == [None, 0.02]


def test_cells_of_unequal_sizes_stand_side_by_side() -> None:
    """Means of A and of B are over the pairs that are known in both; each cell has its own n."""
    first, second = paired(ELBO, [[1.0, 2.0, 9.0], [5.0]], [[2.0, 4.0, None], [4.0]], [True, True])
    assert (first.n, first.a, first.b, first.difference) == (2, 1.5, 3.0, 1.5)
    assert (second.n, second.a, second.b, second.difference) == (1, 5.0, 4.0, -1.0)
    assert (first.metric, first.unit, first.comparable) == ("elbo", "nats", True)
    assert first.half_width == pytest.approx(stats.t.ppf(0.975, 1) * 0.5)
    assert second.half_width is None


def test_what_is_not_comparable_keeps_its_means_alone() -> None:
    """No difference, no interval and no p, and it counts as no test for Holm."""
    a, b = [[1.0, 2.0, 3.0]] * 2, [[2.0, 3.5, 5.5]] * 2
    apart, tested = paired(ELBO, a, b, [False, True])
    assert (apart.a, apart.b, apart.comparable) == (2.0, pytest.approx(11 / 3), False)
    assert (apart.difference, apart.low, apart.high, apart.p, apart.p_holm) == (None,) * 5
    assert tested.p == tested.p_holm is not None


def test_shares_have_no_interval() -> None:
    """Of collapsed runs there is a difference of shares and no more."""
    collapsed = next(metric for metric in METRICS if metric.name == "collapsed")
    (one,) = paired(collapsed, [[True, False, False]], [[True, True, False]], [True])
    assert (one.a, one.b) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert (one.low, one.high, one.p) == (None, None, None)


def test_rounding_is_no_difference() -> None:
    """A difference below 1e-12 of the numbers is none, and a spread below it is constant."""
    (one,) = paired(ELBO, [[1e3, 2e3]], [[1e3 + 1e-10, 2e3 + 1e-10]], [True])
    assert (one.difference, one.low, one.high, one.p) == (0.0, 0.0, 0.0, None)
    (small,) = paired(ELBO, [[1e3, 2e3]], [[1e3 + 1e-6, 2e3 + 3e-6]], [True])
    assert small.difference == pytest.approx(2e-6, rel=1e-3)
    assert small.p is not None
