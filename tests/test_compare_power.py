"""What pairs can find: the formula against simulated t-tests, and the sentence that tells it."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from lossbench.columns import METRICS
from lossbench.comparison.difference import MetricDifference, paired, power_note
from lossbench.comparison.power import POWER, detectable, pairs_needed, power

(ELBO,) = (metric for metric in METRICS if metric.name == "elbo")


def of_pairs(*cells: list[float]) -> list[MetricDifference]:
    """Return the difference of cells, of which B minus A is given."""
    zeros = [[0.0] * len(cell) for cell in cells]
    return paired(ELBO, zeros, cells, [True] * len(cells))


@pytest.mark.parametrize("n", [2, 3, 5, 10, 100])
def test_the_detectable_difference_is_where_the_power_is_80_percent(n: int) -> None:
    """A little less is found less often; so many pairs are what it needs, and one less is not."""
    effect = detectable(n)
    assert power(n, effect) == pytest.approx(POWER)
    assert power(n, 0.99 * effect) < POWER
    assert pairs_needed(effect) == n
    assert pairs_needed(effect * (1 - 1e-6)) == n + 1


def test_more_than_a_million_pairs_are_told_as_such() -> None:
    """Nobody trains them."""
    assert pairs_needed(1e-6) is None
    assert "would need over a million seeds" in power_note(of_pairs([1, -1.0000001, 1, -1]))


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_so_often_do_simulated_pairs_find_it(n: int) -> None:
    """20,000 paired t-tests at the detectable difference: 80% of them are significant."""
    generator = np.random.default_rng(n)
    a = generator.standard_normal((20_000, n)) * 5
    b = a + 3 * (detectable(n) + generator.standard_normal((20_000, n)))
    tested = ttest_rel(b, a, axis=1)
    found = np.mean((tested.pvalue < 0.05) & (tested.statistic > 0))
    assert found == pytest.approx(POWER, abs=4 * math.sqrt(0.8 * 0.2 / 20_000))


def test_the_spread_is_that_of_the_pairs() -> None:
    """In nats, and unknown where there is no interval or no p-value."""
    (known,) = of_pairs([0.1, 0.5, 0.3])
    assert known.detectable == pytest.approx(detectable(3) * 0.2)
    assert known.seeds_needed == pairs_needed(0.3 / 0.2)
    assert {"detectable", "seeds_needed"} <= known.facts().keys()
    for cell in ([0.3], [0.3, 0.3, 0.3]):
        (unknown,) = of_pairs(cell)
        assert (unknown.detectable, unknown.seeds_needed) == (None, None)
    (none,) = of_pairs([1, -1, 0])
    assert none.seeds_needed is None


def test_the_sentence_tells_what_a_difference_not_found_would_need() -> None:
    """Not where it was found; of several cells the range."""
    assert power_note(of_pairs([0.3])) == ""
    assert power_note(of_pairs([-1.0, 2.0, 0.5])) == (
        "3 pairs with this spread find a difference of 4.90 nats of ELBO in 80% of repetitions "
        "(5%, two-sided); the 0.50 observed would need 73 seeds."
    )
    assert power_note(of_pairs([3.0, 3.1, 3.2])).endswith("(5%, two-sided).")
    assert power_note(of_pairs([0, 0.1, 0.2], [0, 1, 2], [1])) == (
        "The pairs of 2 cells with this spread find a difference of 0.33 to 3.26 nats of ELBO in "
        "80% of repetitions (5%, two-sided)."
    )
