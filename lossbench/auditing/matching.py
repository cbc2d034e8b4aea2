"""The convention of the catalogue that scales like a measured loss."""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lossbench.auditing.reconstruction import kind_named
from lossbench.auditing.scaling import Point
from lossbench.errors import UsageError
from lossbench.loss import Convention, Entry, Sizes, catalogue

_SAME = 1e-3


@dataclass(frozen=True)
class Match:
    """A convention whose objective, at ``beta`` on its KL and times ``scale``, is the loss's.

    It has the loss's likelihood, and that holds at every size that was measured. ``also`` names
    rows with the very same a and b.
    """

    name: str
    title: str
    beta: float
    scale: float
    also: tuple[str, ...]


@dataclass(frozen=True)
class _Candidate:
    entry: Entry
    place: int
    beta: float
    scale: float

    @property
    def plain(self) -> bool:
        return math.isclose(self.scale, 1, rel_tol=_SAME)

    @property
    def exact(self) -> bool:
        return self.plain and math.isclose(self.beta, 1, rel_tol=_SAME)

    @property
    def tells(self) -> bool:
        """Whether naming it says something: the very a and b, or one of the seed with a weight.

        Any other row with another weight would be named for a coincidence of one number.
        """
        return self.exact or self.entry.lineage == "seed"

    @property
    def rank(self) -> tuple[object, ...]:
        """The seed's two go first where only beta differs; then the same a, b; then the rest."""
        seed = self.entry.lineage == "seed"
        return (
            not (seed and self.plain),
            not self.exact,
            not seed,
            not math.isclose(self.beta, 1, rel_tol=_SAME),
            bool(self.entry.approximately),
            self.place,
        )


def match_of(kind: str | None, points: Sequence[Point], asked: Point) -> Match | None:
    """Return the convention that scales like what was measured; ``None`` where none does."""
    if kind is None or asked.a <= 0 or asked.b <= 0:
        return None
    found = sorted((c for c in _candidates(kind, points, asked) if c.tells), key=lambda c: c.rank)
    if not found:
        return None
    best = found[0]
    also = tuple(c.entry.name for c in found if c.exact and c.entry.name != best.entry.name)
    return Match(
        name=best.entry.name,
        title=best.entry.convention.title,
        beta=_short(best.beta),
        scale=_short(best.scale),
        also=also,
    )


def _candidates(kind: str, points: Sequence[Point], asked: Point) -> Iterator[_Candidate]:
    known = kind_named(kind)
    for place, entry in enumerate(catalogue().values()):
        seed = entry.lineage == "seed" and known is not None and known.trained is not None
        same_term = known is not None and entry.reconstruction in known.names
        if not entry.is_plain or not (seed or same_term):
            continue
        try:
            scale, weighed = _ratios(entry, asked)
            same = all(
                math.isclose(here, there, rel_tol=_SAME)
                for point in points
                for here, there in zip((scale, weighed), _ratios(entry, point), strict=True)
            )
        except (UsageError, ZeroDivisionError):  # it has no such a and b, or no KL
            continue
        if same:
            yield _Candidate(entry, place, weighed / scale, scale)


def _ratios(entry: Entry, point: Point) -> tuple[float, float]:
    """Return a and b of a point over those of a row of the catalogue at the same sizes."""
    size = {name: int(point.symbols[name]) for name in ("d", "k", "B", "N")}
    scaling = replace(entry.convention, name="", title="")  # many rows scale alike
    a, b = _coefficients(scaling, Sizes(size["d"], size["k"], size["B"], size["N"]))
    return point.a / a, point.b / b


@functools.lru_cache(maxsize=1024)
def _coefficients(scaling: Convention, sizes: Sizes) -> tuple[float, float]:
    there = scaling.coefficients(sizes, 1)
    return float(there.a), float(there.b)


def _short(value: float) -> float:
    return float(f"{value:.6g}")
