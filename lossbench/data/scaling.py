"""What is done to the numbers of a data set before it is trained on, fitted on the training split.

``auto`` is by type: integers are divided by white, floats must lie in [0, 1]. ``none`` leaves the
numbers as they are. The others are fitted: ``unit`` takes the least to 0 and the largest to 1,
``max`` divides by the largest magnitude, ``standard`` gives every input the mean 0 and the variance
1. ``unit`` and ``max`` go by column in a table, and by all pixels together in images.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lossbench.loss import Scale

_ROWS_A_STEP = 4096
_RANGE = {"unit": (0.0, 1.0), "max": (-1.0, 1.0)}

Rows = NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Scaling:
    """``x = (number - offset) / factor``; each is one number for all inputs, or one an input.

    ``n_clipped`` values of the test split lay outside what the training split spans.
    """

    scale: Scale
    offset: NDArray[np.float64]
    factor: NDArray[np.float64]
    n_clipped: int = 0

    @property
    def is_by_input(self) -> bool:
        """Whether inputs have numbers of their own."""
        return self.factor.ndim > 0

    @property
    def is_fitted(self) -> bool:
        """Whether the training split decided."""
        return self.scale not in ("auto", "none")

    def of(self, rows: Rows) -> NDArray[np.float32]:
        """Return ``rows (n, d)`` scaled, in single precision; not clipped."""
        scaled = np.empty(rows.shape, np.float32)
        for start in range(0, len(rows), _ROWS_A_STEP):
            part = rows[start : start + _ROWS_A_STEP].astype(np.float64)
            with np.errstate(over="ignore"):  # what single precision cannot hold is told later
                scaled[start : start + _ROWS_A_STEP] = (part - self.offset) / self.factor
        return scaled

    def undone(self, x: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the numbers that ``x (n, d)`` stands for."""
        return (x * self.factor + self.offset).astype(np.float32)


def divided_by(scale: Scale, number: float) -> Scaling:
    """Return a scaling that only divides."""
    return Scaling(scale, np.array(0.0), np.array(number))


def fit(scale: Scale, train: Rows, *, by_input: bool) -> Scaling:
    """Return a fitted scaling of ``train (n, d)``, or of ``none`` the one that changes nothing.

    An input that never varies has the variance 0 and a factor of 0 under ``standard``; under
    ``unit`` and ``max`` it becomes 0 and 1 or -1.
    """
    if scale == "none":
        return divided_by(scale, 1)
    if scale == "standard":
        mean = train.mean(axis=0, dtype=np.float64)
        return Scaling(scale, mean, np.sqrt(_variance(train, mean)))
    axis = 0 if by_input else None
    least = np.asarray(train.min(axis=axis), np.float64)
    largest = np.asarray(train.max(axis=axis), np.float64)
    if scale == "max":
        magnitude = np.maximum(abs(least), abs(largest))
        return Scaling(scale, 0 * magnitude, np.where(magnitude > 0, magnitude, 1.0))
    width = largest - least
    return Scaling(scale, least, np.where(width > 0, width, 1.0))


def clipped(scale: Scale, test: NDArray[np.float32]) -> int:
    """Clip a scaled test split to what the training split spans; return how many values were."""
    if scale not in _RANGE:
        return 0
    low, high = _RANGE[scale]
    n_outside = int(np.count_nonzero((test < low) | (test > high)))
    np.clip(test, low, high, out=test)
    return n_outside


def _variance(rows: Rows, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    varies = rows.min(axis=0) < rows.max(axis=0)  # the mean of equal numbers may be off by a digit
    squares = np.zeros(rows.shape[1])
    for start in range(0, len(rows), _ROWS_A_STEP):
        squares += ((rows[start : start + _ROWS_A_STEP].astype(np.float64) - mean) ** 2).sum(axis=0)
    variance: NDArray[np.float64] = np.where(varies, squares / len(rows), 0.0)
    return variance
