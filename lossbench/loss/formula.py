"""Formulas: arithmetic in ``d, k, B, N, beta``, parsed safely and evaluated exactly."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction

from lossbench.errors import UsageError

SYMBOLS = {
    "d": "the input dimension",
    "k": "the latent dimension",
    "B": "the batch size",
    "N": "the number of training images",
    "beta": "the weight on the KL term",
}

_LONGEST_FORMULA = 200
_LARGEST_EXPONENT = 16
_LARGEST_BASE_BITS = 256
_OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def exact(number: float | Fraction) -> Fraction:
    """Return the number that the shortest decimal of ``number`` spells, as a fraction.

    >>> exact(0.1)
    Fraction(1, 10)
    """
    return Fraction(repr(float(number))) if isinstance(number, float) else Fraction(number)


def canonical(number: float) -> float:
    """Return ``number`` to the 12 significant digits that a setting has, with no negative zero.

    >>> canonical(0.1 + 0.2)
    0.3
    """
    return float(f"{number:.12g}") + 0.0


def evaluate(formula: str, symbols: Mapping[str, Fraction | int | float]) -> Fraction:
    """Return the exact value of ``formula``; nothing in it is ever executed.

    Allowed are numbers, the names in ``SYMBOLS``, ``+ - * / **`` and brackets; an exponent
    is a whole number. ``UsageError`` shows where a formula is none, or which size it lacks.

    >>> evaluate("beta*d/k", {"beta": 0.5, "d": 784, "k": 2})
    Fraction(196, 1)
    """
    if len(formula) > _LONGEST_FORMULA:
        raise UsageError(
            "the formula is too long",
            where=repr(formula[:40] + "..."),
            expected=f"at most {_LONGEST_FORMULA} characters",
            received=f"{len(formula)} characters",
        )
    try:
        tree = ast.parse(formula.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise _not_arithmetic(formula, getattr(error, "offset", None) or 1) from None
    try:
        return _value(tree.body, formula, symbols)
    except ZeroDivisionError:
        raise UsageError("the formula divides by zero", where=repr(formula)) from None


def _value(node: ast.expr, formula: str, symbols: Mapping[str, Fraction | int | float]) -> Fraction:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(
            number, bool
        ) and math.isfinite(number):
            return exact(number)
        case ast.Name(id=name) if name in SYMBOLS:
            if name not in symbols:
                raise UsageError(f"the formula needs {name}, {SYMBOLS[name]}", where=repr(formula))
            return exact(symbols[name])
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, formula, symbols)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            exponent = _value(right, formula, symbols)
            if exponent.denominator != 1 or abs(exponent) > _LARGEST_EXPONENT:
                raise _not_arithmetic(formula, right.col_offset + 1)
            base = _value(left, formula, symbols)
            if max(base.numerator.bit_length(), base.denominator.bit_length()) > _LARGEST_BASE_BITS:
                raise _not_arithmetic(formula, left.col_offset + 1)
            return base ** int(exponent)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](
                _value(left, formula, symbols), _value(right, formula, symbols)
            )
    raise _not_arithmetic(formula, node.col_offset + 1)


def _not_arithmetic(formula: str, column: int) -> UsageError:
    return UsageError(
        "the formula is not arithmetic in the allowed names",
        where=repr(formula),
        expected=f"numbers, {', '.join(SYMBOLS)}, + - * / ** and brackets",
        received=f"{formula.strip()[column - 1 :][:20]!r} at column {column}",
    )
