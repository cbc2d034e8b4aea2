"""A paired difference with its t-interval and p-value, and Holm's adjustment of several."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from lossbench.columns import Column
from lossbench.comparison.wording import Value

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
    metric: Column,
    a: Sequence[Sequence[Value]],
    b: Sequence[Sequence[Value]],
    comparable: Sequence[bool],
) -> list[MetricDifference]:
    """Return the paired comparison of each cell's ``a (n,)`` and ``b (n,)``, whatever its n.

    A pair with a value that is not known, or not finite, is left out. The p-values are adjusted
    over the cells. The paired t-interval covers at its nominal rate from three seeds on, where
    bootstraps fall to 66-90%.
    """
    values_a, values_b = _table(a), _table(b)
    known = np.isfinite(values_a) & np.isfinite(values_b)
    values_a, values_b = np.where(known, values_a, 0), np.where(known, values_b, 0)
    n = known.sum(axis=1)
    with np.errstate(all="ignore"):
        mean_a, mean_b = values_a.sum(axis=1) / n, values_b.sum(axis=1) / n
        differences = values_b - values_a
        scale = np.maximum(abs(values_a), abs(values_b)).max(axis=1, initial=0)
        mean = differences.sum(axis=1) / n
        mean = np.where(abs(mean) <= _ROUNDING * scale, 0.0, mean)
        squares = np.where(known, differences - mean[:, None], 0) ** 2
        error = np.sqrt(squares.sum(axis=1) / (n - 1) / n)
        constant = error <= _ROUNDING * scale
        half_width = np.where(constant, 0, stdtrit(n - 1, 0.5 + CONFIDENCE / 2) * error)
        p = np.where(constant, np.nan, 2 * stdtr(n - 1, -abs(mean) / error))
    mean[~np.asarray(comparable)] = np.nan
    columns = [mean_a, mean_b, mean]
    if metric.kind == "bool":
        columns += [np.full_like(mean, np.nan)] * 3
    else:
        columns += [mean - half_width, mean + half_width, np.where(np.isnan(mean), mean, p)]
    *means, p_values = ([x if isfinite(x) else None for x in column.tolist()] for column in columns)
    facts = zip(comparable, n.tolist(), *means, p_values, holm(p_values), strict=True)
    return [MetricDifference(metric.name, metric.unit, *of_cell) for of_cell in facts]


def _table(cells: Sequence[Sequence[Value]]) -> NDArray[np.float64]:
    """Return values as ``(cells, largest n)``, NaN where there is none."""
    n = max(map(len, cells))
    return np.array([[*values, *[None] * (n - len(values))] for values in cells], np.float64)


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
