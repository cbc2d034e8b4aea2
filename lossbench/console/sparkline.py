"""A curve in a few characters, beside the numbers that it leads to."""

import math
from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-~=+*#"
_SETTLED = 0.2  # of the curve, after which its range is taken: the first steps fall out of it


def settled_range(curves: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return the least and the largest value of several curves past their first fifth."""
    values = [
        value
        for curve in curves
        for value in curve[math.floor(_SETTLED * len(curve)) :]
        if math.isfinite(value)
    ]
    return (min(values), max(values)) if values else (0.0, 0.0)


def sparkline(
    curve: Sequence[float], width: int, low: float, high: float, *, ascii_only: bool = False
) -> str:
    """Return ``curve`` in ``width`` characters between ``low`` and ``high``; empty without points.

    >>> sparkline([0, 1, 2, 3], 4, 0, 3)
    '▁▃▆█'
    >>> sparkline([-9, 1, 1], 3, 1, 1, ascii_only=True)
    '___'
    """
    if not curve:
        return ""
    marks = _ASCII if ascii_only else _BLOCKS
    places = [round(step * (len(curve) - 1) / max(width - 1, 1)) for step in range(width)]
    span = high - low
    shares = [(curve[place] - low) / span if span > 0 else 0.0 for place in places]
    return "".join(
        marks[round(min(max(share, 0.0), 1.0) * (len(marks) - 1))] if math.isfinite(share) else " "
        for share in shares
    )
