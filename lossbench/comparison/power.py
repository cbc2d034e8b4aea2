"""What a paired t-test on n pairs can find, and how many pairs a difference needs."""

import functools
import math

from scipy.special import nctdtr, stdtrit

POWER = 0.8
_SIGNIFICANCE = 0.05  # two-sided
_MOST_PAIRS = 1_000_000
_HALVINGS = 60


def power(n: int, effect: float) -> float:
    """Return how often n pairs find a difference of ``effect`` standard deviations of the pairs.

    And find it on its own side: a difference that is found on the other one is none.

    >>> round(power(34, 0.5), 3)
    0.808
    """
    critical = float(stdtrit(n - 1, 1 - _SIGNIFICANCE / 2))
    return float(1 - nctdtr(n - 1, effect * math.sqrt(n), critical))


@functools.lru_cache(maxsize=1024)
def detectable(n: int) -> float:
    """Return the least difference, in standard deviations, that n pairs find in 80% of cases.

    >>> round(detectable(34), 3)
    0.495
    """
    low, high = 0.0, 1.0
    while power(n, high) < POWER:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if power(n, middle) < POWER else (low, middle)
    return high


def pairs_needed(effect: float) -> int | None:
    """Return how many pairs find ``effect`` standard deviations in 80% of cases, 2 at least.

    None where they are more than a million.

    >>> pairs_needed(0.5), pairs_needed(1e-5)
    (34, None)
    """
    few, enough = 1, 2
    while detectable(enough) > effect:
        few, enough = enough, 2 * enough
        if few > _MOST_PAIRS:
            return None
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (middle, enough) if detectable(middle) > effect else (few, middle)
    return enough
