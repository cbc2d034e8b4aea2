"""How a coefficient scales with sizes and weights: powers, found from a few points, as formulas."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lossbench.auditing.scaling import Point, Survey
from lossbench.auditing.signature import is_of_schedule

_WHOLE = 0.02
_SAME = 2e-3
_ORDER = ("beta", "d", "k", "B", "N", "channels")
_FEW_DIGITS = 3


@dataclass(frozen=True)
class Law:
    """A coefficient as ``constant`` times powers of sizes and weights, and one shifted size.

    ``shift`` is ``(symbol, m, power)`` for a factor ``(symbol + m)**power``.
    """

    constant: float
    powers: Mapping[str, float]
    shift: tuple[str, float, int] | None = None


def law(found: Survey, part: str) -> Law | None:
    """Return the coefficient ``a`` or ``b`` as a law, or ``None`` if it follows none.

    The law of the sizes comes first, every weight as it is; a weight joins it where it goes with a
    power of that weight. A step or an epoch never does: a schedule ends.
    """
    value = _law_of_sizes(found, part)
    if value is None or not value.constant:
        return value
    start = getattr(found.reference, part)
    for name in found.weights:
        if is_of_schedule(name):
            continue
        if power := weight_power(found, name, part):
            value = replace(value, powers={**value.powers, name: power})
    constant = start / worth(replace(value, constant=1.0), found.reference.symbols)
    error = getattr(found.reference, f"{part}_error") * abs(constant / start)
    return replace(value, constant=_plainest(constant, error))


def weight_power(found: Survey, name: str, part: str) -> float | None:
    """Return the power of a weight in a coefficient, 0 for none; ``None`` if it is no power."""
    return _power_of(found.reference, found.weights[name], name, part)


def _power_of(reference: Point, points: Sequence[Point], symbol: str, part: str) -> float | None:
    start: float = getattr(reference, part)
    pairs = [(p.symbols[symbol], getattr(p, part)) for p in points]
    errors = [getattr(p, f"{part}_error") for p in points]
    if start == 0 and all(value == 0 for _, value in pairs):
        return 0.0
    sizes = [abs(value) for _, value in pairs if value]
    noise = max((error / size for error, size in zip(errors, sizes, strict=False)), default=0.0)
    return _power((reference.symbols.get(symbol, 0.0), start), pairs, noise)


def _law_of_sizes(found: Survey, part: str) -> Law | None:
    start: float = getattr(found.reference, part)
    if start == 0:
        return Law(0.0, {})
    powers: dict[str, float] = {}
    shift = None
    for symbol, points in found.around.items():
        if symbol == "channels":  # with them d has changed, which is known
            so_far = Law(1 / worth(Law(1.0, powers, shift), found.reference.symbols), powers, shift)
            points = tuple(  # noqa: PLW2901
                replace(p, **{part: getattr(p, part) / worth(so_far, p.symbols)}) for p in points
            )
        power = _power_of(found.reference, points, symbol, part)
        if power is not None:
            if power:
                powers[symbol] = power
            continue
        pairs = [(p.symbols[symbol], getattr(p, part)) for p in points]
        here = (found.reference.symbols.get(symbol, 0.0), start)
        shift = None if shift else _shift(symbol, here, pairs)
        if shift is None:
            return None
    value = Law(1.0, powers, shift)
    constant = start / worth(value, found.reference.symbols)
    error = getattr(found.reference, f"{part}_error") * abs(constant / start)
    value = Law(_plainest(constant, error), powers, shift)
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
        if value and not all(math.isclose(value, other, rel_tol=1e-6) for _, other in pairs):
            return None
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


def constant_text(value: float) -> str:
    """Return a constant, as 1/n where it is one.

    >>> constant_text(1 / 784), constant_text(0.5), constant_text(4.00001), constant_text(0.001)
    ('1/784', '1/2', '4', '0.001')
    >>> constant_text(0.999998), constant_text(0.99995)
    ('1', '0.99995')
    """
    short = f"{value:.5g}"
    long = len(short.lstrip("-0.")) > 2
    if value and abs(value) < 1 and (long or short in ("0.5", "-0.5")):
        inverse = 1 / value
        if abs(inverse - round(inverse)) < 1e-4 * abs(inverse) and 1.5 < abs(inverse) < 1e6:
            return f"{'-' if value < 0 else ''}1/{abs(round(inverse))}"
    return short if float(short) != round(float(short)) else f"{float(short):.6g}"


def formula(value: Law) -> str:
    """Return a law as a formula.

    >>> formula(Law(1.0, {"beta": 1, "k": -1})), formula(Law(1000.0, {"d": -1}))
    ('beta/k', '1000/d')
    """
    if value.constant == 0:
        return "0"
    symbols = sorted(value.powers, key=lambda s: (_ORDER.index(s) if s in _ORDER else -1, s))
    above = [_powered(s, value.powers[s]) for s in symbols if value.powers[s] > 0]
    below = [_powered(s, -value.powers[s]) for s in symbols if value.powers[s] < 0]
    number = value.constant
    if value.shift is not None:
        symbol, m, power = value.shift
        text = f"({symbol} {'+' if m > 0 else '-'} {abs(m):g})"
        if number < 0 and m < 0:
            number, text = -number, f"({abs(m):g} - {symbol})"
        (above if power > 0 else below).append(text)
    constant = constant_text(number)
    sign = "-" if constant.startswith("-") else ""
    top, _, bottom = constant.lstrip("-").partition("/")
    above = [*([top] if top != "1" or not above else []), *above]
    below = [*([bottom] if bottom else []), *below]
    divisor = "*".join(below)
    if len(below) > 1:
        divisor = f"({divisor})"
    return sign + "*".join(above) + (f"/{divisor}" if below else "")


def ratio(b: Law, a: Law) -> Law | None:
    """Return the law of b/a, beta_eff; ``None`` if both have shifts that do not cancel."""
    if a.constant == 0:
        return None
    shift = b.shift
    if a.shift is not None:
        if a.shift == b.shift:
            shift = None
        elif b.shift is None:
            shift = (a.shift[0], a.shift[1], -a.shift[2])
        else:
            return None
    powers = {s: b.powers.get(s, 0) - a.powers.get(s, 0) for s in {**a.powers, **b.powers}}
    return Law(b.constant / a.constant, {s: p for s, p in powers.items() if p}, shift)


def inverse(value: Law) -> Law:
    """Return one over a law."""
    shift = None if value.shift is None else (value.shift[0], value.shift[1], -value.shift[2])
    return Law(1 / value.constant, {s: -p for s, p in value.powers.items()}, shift)


def readings(value: Law, fixed: Mapping[str, float]) -> tuple[Law, ...]:
    """Return what a law may be where sizes cannot be varied: one reading, or two.

    A number of few digits was written; one that a size makes round was divided by it, or by that
    very number: it is told as both, the mean first.

    >>> [formula(r) for r in readings(Law(1 / 784, {}), {"d": 784})]
    ['1/d', '1/784']
    >>> [formula(r) for r in readings(Law(0.2, {}), {"k": 5})]
    ['1/k', '0.2']
    >>> [formula(r) for r in readings(Law(1.0, {}), {"d": 784})]
    ['1']
    """
    found: tuple[Law, ...] = (value,)
    for symbol, size in fixed.items():
        number = found[0].constant
        if not number or size == 1 or _digits(number * size) > min(_digits(number), _FEW_DIGITS):
            continue
        divided = replace(
            found[0], constant=number * size, powers={**found[0].powers, symbol: -1.0}
        )
        both = _digits(number) <= _FEW_DIGITS and number * size < 10 and number < 0.999
        if _digits(number) > _digits(number * size) and _digits(number) > _FEW_DIGITS:
            both = True  # a mean, or a division by that very number
        if both and len(found) == 1:
            found = (divided, found[0])
    return found


def _digits(value: float) -> int:
    return len(f"{value:.4e}".partition("e")[0].rstrip("0").replace(".", "").lstrip("-"))


def _powered(symbol: str, power: float) -> str:
    if power == 1:
        return symbol
    return f"sqrt({symbol})" if math.isclose(power, 0.5) else f"{symbol}^{power:g}"
