"""How a coefficient scales with sizes and weights: powers, found from a few points."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lossbench.audit.scaling import Survey

_WHOLE = 0.02
_SAME = 2e-3


@dataclass(frozen=True)
class Law:
    """A coefficient as ``constant`` times powers of sizes and weights, and one shifted size.

    ``shift`` is ``(symbol, m, power)`` for a factor ``(symbol + m)**power``.
    """

    constant: float
    powers: Mapping[str, float]
    shift: tuple[str, float, int] | None = None


def law(found: Survey, part: str) -> Law | None:
    """Return the coefficient ``a`` or ``b`` as a law, or ``None`` if it follows none."""
    start: float = getattr(found.reference, part)
    if start == 0:
        return Law(0.0, {})
    powers: dict[str, float] = {}
    shift = None
    for symbol, points in found.around.items():
        pairs = [(p.symbols[symbol], getattr(p, part)) for p in points]
        here = (found.reference.symbols.get(symbol, 0.0), start)
        noise = max(abs(getattr(p, f"{part}_error") / (getattr(p, part) or 1)) for p in points)
        power = _power(here, pairs, noise)
        if power is not None:
            if power:
                powers[symbol] = power
            continue
        shift = None if shift else _shift(symbol, here, pairs)
        if shift is None:
            return None
    value = Law(1.0, powers, shift)
    constant = start / worth(value, found.reference.symbols)
    error = getattr(found.reference, f"{part}_error") * abs(constant / start)
    constant = _plainest(constant, error)
    value = Law(constant, powers, shift)
    for check in (found.asked, found.joint):
        if check is not None:
            expected, got = worth(value, check.symbols), getattr(check, part)
            error = getattr(check, f"{part}_error") + getattr(found.reference, f"{part}_error")
            if abs(expected - got) > _SAME * abs(got) + 5 * error:
                return None
    return value


def worth(value: Law, symbols: Mapping[str, float]) -> float:
    """Return what a law gives at these sizes and weights."""
    product = value.constant
    for symbol, power in value.powers.items():
        product *= symbols[symbol] ** power
    if value.shift is not None:
        symbol, m, power_of = value.shift
        product *= (symbols[symbol] + m) ** power_of
    return float(product)


def _plainest(value: float, error: float) -> float:
    """Return the number of fewest digits within three standard errors.

    >>> _plainest(1.0017, 0.002), _plainest(0.4987, 0.001), _plainest(0.4987, 0.0)
    (1.0, 0.5, 0.4987)
    """
    shorter = (float(f"{value:.{digits}e}") for digits in range(6))
    return next((s for s in shorter if error and abs(s - value) <= 3 * error), value)


def _power(
    here: tuple[float, float], pairs: list[tuple[float, float]], noise: float
) -> float | None:
    """Return the power of a symbol, a multiple of 1/2, if the points agree on one."""
    size, value = here
    if not size:  # a weight of nothing: take the other two
        (size, value), *pairs = pairs
    found = []
    for other_size, other in pairs:
        if other_size == size or other_size * size <= 0 or other * value <= 0:
            return 0.0 if other == value else None
        found.append(math.log(other / value) / math.log(other_size / size))
    power = round(2 * found[-1]) / 2
    slack = _WHOLE + 8 * noise / abs(math.log(pairs[-1][0] / size))
    return power if all(abs(p - power) < slack for p in found) else None


def _shift(
    symbol: str, here: tuple[float, float], pairs: list[tuple[float, float]]
) -> tuple[str, float, int] | None:
    """Return ``(symbol + m)**1`` or ``**-1`` if the three points lie on one."""
    points = [here, *pairs]
    for power in (1, -1):
        sizes = np.array([p[0] for p in points])
        values = np.array([p[1] for p in points])
        if (values == 0).any() and power < 0:
            continue
        slope, intercept = np.polyfit(sizes, values**power, 1)
        rest = values**power - (slope * sizes + intercept)
        if slope and np.abs(rest).max() < 1e-4 * np.abs(values**power).max():
            return symbol, float(f"{intercept / slope:.6g}"), power
    return None
