"""Formulas and numbers as a derivation shows them, in the user's own beta."""

import re
from collections.abc import Mapping
from fractions import Fraction

from lossbench.loss import Entry

_LEADING_NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e-?\d+)?)(?![\w.])(.*)")


def number(value: float | Fraction) -> str:
    """Return a number to six significant digits.

    >>> number(Fraction(1, 784)), number(392.0)
    ('0.00127551', '392')
    """
    return f"{float(value):.6g}"


def weighted(formula: str, entry: Entry) -> str:
    """Return a formula of b or beta_eff with the user's beta in it.

    In the catalogue beta is the weight as published; what a user calls beta multiplies it. In
    a row with a learned variance the catalogue's beta is that variance, shown as sigma^2.
    """
    published = entry.convention.default_beta
    if entry.reconstruction == "learned_sigma":
        formula = unweighted(formula, entry)
    elif re.search(r"\bbeta\b", formula):
        return re.sub(
            r"\bbeta\b", "beta" if published == 1 else f"{number(published)}*beta", formula
        )
    return _times_beta(formula)


def unweighted(formula: str, entry: Entry) -> str:
    """Return a formula of ``a``, which holds no weight but perhaps a learned variance."""
    if entry.reconstruction == "learned_sigma":
        return re.sub(r"\bbeta\b", "sigma^2", formula)
    return formula


def _times_beta(formula: str) -> str:
    """Return the formula times beta.

    >>> [_times_beta(text) for text in ("1", "0", "1/d", "5*B/k", "1e-3/k", "d/k")]
    ['beta', '0', 'beta/d', '5*beta*B/k', '1e-3*beta/k', 'beta*d/k']
    """
    leading = _LEADING_NUMBER.fullmatch(formula)
    if leading is None:
        return f"beta*{formula}"
    if leading[1] == "0":
        return formula
    return f"beta{leading[2]}" if leading[1] == "1" else f"{leading[1]}*beta{leading[2]}"


def shown(formula: str) -> str:
    """Return a formula as people write powers.

    >>> shown("d/(3*k**2)")
    'd/(3*k^2)'
    """
    return formula.replace("**", "^")


def equation(
    name: str, formula: str, symbols: Mapping[str, Fraction | int], value: Fraction
) -> str:
    """Return ``name = formula = numbers put in = value``, without repetitions.

    >>> equation("b", "beta/k", {"beta": 1, "k": 2}, Fraction(1, 2))
    'b = beta/k = 1/2 = 0.5'
    """
    with_numbers = re.sub(
        r"\b(?:d|k|B|N|beta|epoch)\b", lambda found: number(symbols[found[0]]), formula
    )
    parts = [name, shown(formula), shown(with_numbers), number(value)]
    return " = ".join(dict.fromkeys(parts))
