"""Laws as formulas that people read, and what they say about reductions."""

import math
from collections.abc import Mapping

from lossbench.audit.laws import Law

_ORDER = ("beta", "d", "k", "B", "N")


def constant_text(value: float) -> str:
    """Return a constant, as 1/n where it is one.

    >>> constant_text(1 / 784), constant_text(0.5), constant_text(4.00001), constant_text(0.001)
    ('1/784', '1/2', '4', '0.001')
    """
    short = f"{value:.5g}"
    long = len(short.lstrip("-0.")) > 2
    if value and abs(value) < 1 and (long or short in ("0.5", "-0.5")):
        inverse = 1 / value
        if abs(inverse - round(inverse)) < 1e-4 * abs(inverse) and abs(inverse) < 1e6:
            return f"{'-' if value < 0 else ''}1/{abs(round(inverse))}"
    return short if float(short) != round(float(short)) else f"{float(short):.6g}"


def formula(law: Law) -> str:
    """Return a law as a formula.

    >>> formula(Law(1.0, {"beta": 1, "k": -1})), formula(Law(1000.0, {"d": -1}))
    ('beta/k', '1000/d')
    """
    if law.constant == 0:
        return "0"
    symbols = sorted(law.powers, key=lambda s: (_ORDER.index(s) if s in _ORDER else -1, s))
    above = [_powered(s, law.powers[s]) for s in symbols if law.powers[s] > 0]
    below = [_powered(s, -law.powers[s]) for s in symbols if law.powers[s] < 0]
    if law.shift is not None:
        symbol, m, power = law.shift
        text = f"({symbol} {'+' if m > 0 else '-'} {abs(m):g})"
        if law.constant < 0 and m < 0:
            law = Law(-law.constant, law.powers, law.shift)
            text = f"({abs(m):g} - {symbol})"
        (above if power > 0 else below).append(text)
    constant = constant_text(law.constant)
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


def inverse(law: Law) -> Law:
    """Return one over a law."""
    shift = None if law.shift is None else (law.shift[0], law.shift[1], -law.shift[2])
    return Law(1 / law.constant, {s: -p for s, p in law.powers.items()}, shift)


def rounder(value: float, size: float) -> float:
    """Return the power of a size that leaves the rounder constant: 0, or -1 for a mean.

    For sizes that cannot be varied: a number of few digits was written, another one divided.

    >>> rounder(1 / 784, 784), rounder(1.0, 784), rounder(0.001, 784)
    (-1.0, 0.0, 0.0)
    """
    return -1.0 if _digits(value * size) < _digits(value) else 0.0


def _digits(value: float) -> int:
    return len(f"{value:.4e}".partition("e")[0].rstrip("0").replace(".", "").lstrip("-"))


def assumed(law: Law, fixed: Mapping[str, float]) -> Law:
    """Return a law with the powers that sizes which cannot be varied most likely have."""
    powers = dict(law.powers)
    constant = law.constant
    for symbol, size in fixed.items():
        power = rounder(constant, size)
        if power:
            powers[symbol] = power
            constant /= size**power
    return Law(constant, powers, law.shift)


def _powered(symbol: str, power: float) -> str:
    if power == 1:
        return symbol
    return f"sqrt({symbol})" if math.isclose(power, 0.5) else f"{symbol}^{power:g}"
