"""The cells of a table as plain values, and how a sentence shows them."""

import math
from collections.abc import Iterable, Mapping, Sequence

Value = str | int | float | bool | None
Row = Mapping[str, Value]

_MOST_LISTED = 8


def number(value: Value) -> float:
    """Return a cell as a number, NaN where it holds none."""
    return float(value) if isinstance(value, int | float) else math.nan


def setting(value: Value) -> str:
    """Return a setting as the user writes it.

    >>> setting(1.0), setting(0.03125), setting(True), setting(None)
    ('1', '0.03125', 'true', 'unknown')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "unknown"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def factor(ratio: float, digits: int = 6) -> str:
    """Return a factor or a weight to so many significant digits, ``unknown`` for NaN.

    >>> factor(64.00000000001)
    '64'
    """
    return "unknown" if math.isnan(ratio) else f"{ratio:.{digits}g}"


def spread(ratios: Iterable[float]) -> str:
    """Return one factor, or the range of several.

    >>> spread([16.0, 64.0]), spread([64.0, 64.0])
    ('16 to 64', '64')
    """
    texts = [factor(ratio) for ratio in sorted(ratios)]
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"


def amount(nats: float) -> str:
    """Return a difference in nats, two decimals where they say something.

    >>> amount(1.8349), amount(-0.00123), amount(0.0)
    ('1.83', '-0.0012', '0')
    """
    if nats == 0:
        return "0"
    return f"{nats:.2f}" if abs(nats) >= 0.1 else f"{nats:.2g}"


def probability(p: float) -> str:
    """Return ``= 0.0004`` or ``< 0.0001``.

    >>> probability(0.000412), probability(1e-9)
    ('= 0.00041', '< 0.0001')
    """
    return "< 0.0001" if p < 0.0001 else f"= {p:.2g}"


def counted(count: int, noun: str) -> str:
    """Return ``1 run`` or ``3 runs``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(values: Sequence[Value]) -> str:
    """Return the distinct values in order, at most eight of them.

    >>> listed([4.0, 0.5, 4.0])
    '0.5, 4'
    """
    distinct = sorted(set(values), key=lambda v: (isinstance(v, str), v is None, v or 0))
    texts = [setting(value) for value in distinct]
    rest = len(texts) - _MOST_LISTED
    return ", ".join(texts[:_MOST_LISTED]) + (f" and {rest} more" if rest > 0 else "")
