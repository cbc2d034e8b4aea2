"""How values are told: numbers, counts and lists in words, and plain values for JSON.

A setting is written exactly, so that it can be typed again; what was measured or computed is
rounded to what its reader needs.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

Plain = str | int | float | bool | list["Plain"] | dict[str, "Plain"] | None

_MOST_LISTED = 8
_LEAST_PROBABILITY = 0.0001


def setting(value: str | float | bool | tuple[int, ...] | None) -> str:
    """Return a setting as its user writes it; hidden layers as an option takes them.

    >>> setting(1.0), setting(0.03125), setting(True), setting(None), setting((64, 32))
    ('1', '0.03125', 'true', 'unknown', '64x32')
    """
    match value:
        case None:
            return "unknown"
        case bool():
            return "true" if value else "false"
        case float():
            return significant(value, 12)
        case tuple():
            return "x".join(map(str, value)) or "linear"
        case _:
            return str(value)


def significant(value: float | Fraction, digits: int = 6) -> str:
    """Return a number to so many significant digits, ``unknown`` for NaN.

    One that is too large for a float is given by its order of magnitude.

    >>> significant(64.00000000001), significant(Fraction(1, 784)), significant(14.04, 3)
    ('64', '0.00127551', '14')
    >>> significant(Fraction(10) ** 400)
    '1e400'
    """
    try:
        real = float(value)
    except OverflowError:
        return f"{'-' if value < 0 else ''}1e{len(str(abs(int(value)))) - 1}"
    return "unknown" if math.isnan(real) else f"{real:.{digits}g}"


def nats(difference: float) -> str:
    """Return a difference in nats, two decimals where they say something.

    >>> nats(1.8349), nats(-0.00123), nats(0.0)
    ('1.83', '-0.0012', '0')
    """
    if difference == 0:
        return "0"
    return f"{difference:.2f}" if abs(difference) >= 0.1 else f"{difference:.2g}"


def plus_minus(mean: float, half_width: float, decimals: int = 2) -> str:
    """Return a mean with half the width of its interval; without it where that is NaN.

    >>> plus_minus(-141.2, 0.5), plus_minus(-141.2, math.nan)
    ('-141.20 ± 0.50', '-141.20')
    """
    text = f"{mean:.{decimals}f}"
    return text if math.isnan(half_width) else f"{text} ± {half_width:.{decimals}f}"


def probability(p: float) -> str:
    """Return a probability to two digits; a very small one by its bound.

    >>> probability(0.000412), probability(1e-9)
    ('0.00041', '<0.0001')
    """
    return f"<{_LEAST_PROBABILITY:g}" if p < _LEAST_PROBABILITY else f"{p:.2g}"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> counted(1, "run"), counted(1200, "run"), counted(2, "loss")
    ('1 run', '1,200 runs', '2 losses')
    """
    plural = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{plural}"


def spread(texts: Iterable[str]) -> str:
    """Return the first and the last of numbers in order, or the one that all of them are.

    >>> spread(["16", "32", "64"]), spread(["64", "64"])
    ('16 to 64', '64')
    """
    first, *others = texts
    last = others[-1] if others else first
    return first if first == last else f"{first} to {last}"


def joined(words: Iterable[object], last: str = "and") -> str:
    """Return words as people list them.

    >>> joined(["a", "b", "c"]), joined(["a", "b"], "or"), joined(["a"])
    ('a, b and c', 'a or b', 'a')
    """
    *others, final = map(str, words)
    return f"{', '.join(others)} {last} {final}" if others else final


def distinct(settings: Iterable[str | float | bool | None]) -> str:
    """Return the distinct settings in order, at most eight of them.

    >>> distinct([4.0, 0.5, 4.0])
    '0.5, 4'
    """
    values = sorted(set(settings), key=lambda v: (isinstance(v, str), v is None, v or 0))
    texts = [setting(value) for value in values]
    rest = len(texts) - _MOST_LISTED
    return ", ".join(texts[:_MOST_LISTED]) + (f" and {rest} more" if rest > 0 else "")


@runtime_checkable
class HasFacts(Protocol):
    """A record whose JSON has other names, or more facts, than its fields."""

    def facts(self) -> Mapping[str, object]:
        """Return the facts by name; their values may be records again."""


class Told:
    """A record that is told whole: as plain values, and as its command prints it."""

    def to_dict(self) -> dict[str, Any]:
        """Return what the command prints as JSON, as plain values of Python."""
        told: Any = plain(self)
        return dict(told)

    def __str__(self) -> str:
        """Return what the command prints, as wide as the terminal."""
        return str(import_module("lossbench.console.notebook").text(self))

    def _repr_html_(self) -> str:
        """Return what the command prints, for a notebook of either colour."""
        return str(import_module("lossbench.console.notebook").html(self))


def plain(value: object) -> Plain:
    """Return a value as JSON can hold it: a record by its ``facts``, or else by its fields.

    A tuple becomes a list, a fraction and NumPy's numbers become Python's own, NaN and infinity
    ``None``; what JSON has no form for, such as a path, becomes text.

    >>> plain({"a": Fraction(1, 2), "b": (math.nan, True)})
    {'a': 0.5, 'b': [None, True]}
    """
    if isinstance(value, HasFacts) or is_dataclass(value):
        return plain(_taken_apart(value))  # before a record that is a float, too
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    return plain(_taken_apart(value))


def _taken_apart(value: object) -> Any:
    """Return what stands for a value in JSON: of Python's own values, or a mapping of others."""
    if isinstance(value, HasFacts):
        return value.facts()
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Fraction):
        return float(value)
    if hasattr(value, "item"):
        return value.item()
    return str(value)
