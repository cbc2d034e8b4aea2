"""A paired difference with its t-interval and p-value, and Holm's adjustment of several."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from scipy.special import stdtr, stdtrit

from lossbench.compare.wording import Value
from lossbench.schema import Column

CONFIDENCE = 0.95
_ROUNDING = 1e-12  # a difference below this part of the numbers themselves is rounding


@dataclass(frozen=True)
class MetricDifference:
    """One metric of A and of B, and B minus A over ``n`` pairs.

    ``a``, ``b`` and ``difference`` are means over the pairs (for ``collapsed`` shares);
    ``low`` and ``high`` are the ends of the 95% t-interval, ``None`` for one pair and for
    ``collapsed``; ``p`` is two-sided, ``None`` also where the difference is the same on every
    pair; ``p_holm`` is adjusted over the cells of the comparison. The difference is ``None``
    where the metric is not comparable (``comparable``) or not known.
    """

    metric: str
    unit: str
    comparable: bool
    n: int
    a: float | None
    b: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def paired(
    metric: Column, a: Sequence[Value], b: Sequence[Value], *, comparable: bool = True
) -> MetricDifference:
    """Return the paired comparison of ``a (n,)`` and ``b (n,)``.

    A pair with a cell that is not known, or not finite, is left out.
    The paired t-interval covers at its nominal rate from three seeds on, where bootstraps fall
    to 66-90%.
    """
    both = [(x, y) for x, y in zip(a, b, strict=True) if _is_known(x) and _is_known(y)]
    n = len(both)
    if n == 0:
        return MetricDifference(metric.name, metric.unit, comparable, 0, None, None)
    mean_a, mean_b = (math.fsum(side) / n for side in zip(*both, strict=True))
    if not comparable:
        return MetricDifference(metric.name, metric.unit, False, n, mean_a, mean_b)
    differences = [y - x for x, y in both]
    scale = max(map(abs, itertools.chain.from_iterable(both)))
    mean = math.fsum(differences) / n
    mean = 0.0 if abs(mean) <= _ROUNDING * scale else mean
    low = high = p = None
    if n > 1 and metric.kind != "bool":
        half_width, p = _t_interval(differences, mean, scale)
        low, high = mean - half_width, mean + half_width
    return MetricDifference(
        metric.name, metric.unit, True, n, mean_a, mean_b, mean, low, high, p, p
    )


def _is_known(value: Value) -> TypeGuard[float]:
    return isinstance(value, float | int) and math.isfinite(value)


def _t_interval(
    differences: Sequence[float], mean: float, scale: float
) -> tuple[float, float | None]:
    """Return the half width and the two-sided p-value, ``None`` for a constant difference."""
    n = len(differences)
    variance = math.fsum((x - mean) ** 2 for x in differences) / (n - 1)
    error = math.sqrt(variance / n)
    if error <= _ROUNDING * scale:
        return 0.0, None
    half_width = float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2)) * error
    return half_width, float(2 * stdtr(n - 1, -abs(mean) / error))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return Holm's step-down adjustment; ``None`` stays and counts as no test.

    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[place] = largest
    return adjusted
