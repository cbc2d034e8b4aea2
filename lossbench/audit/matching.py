"""The convention of the catalogue that scales like a measured loss."""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lossbench.audit.scaling import Point
from lossbench.conventions import Convention, Entry, Sizes, catalogue
from lossbench.errors import UsageError

_SAME = 1e-3
_KINDS = {
    "bce": ("bce",),
    "bce_logits": ("bce",),
    "mse": ("mse", "gaussian_fixed_sigma"),
    "l1": ("l1",),
    "categorical": ("categorical",),
}


@dataclass(frozen=True)
class Match:
    """A convention whose objective, at ``beta`` on its KL and times ``scale``, is the loss's.

    ``same`` is whether that holds at every size that was measured; else it holds at the asked
    sizes alone. ``also`` names rows with the very same a and b and the same reconstruction.
    """

    name: str
    title: str
    beta: float
    scale: float
    same: bool
    also: tuple[str, ...]


@dataclass(frozen=True)
class _Candidate:
    entry: Entry
    place: int
    beta: float
    scale: float
    same: bool
    fits: bool

    @property
    def exact(self) -> bool:
        return (
            self.same
            and math.isclose(self.scale, 1, rel_tol=_SAME)
            and (math.isclose(self.beta, 1, rel_tol=_SAME))
        )

    @property
    def rank(self) -> tuple[object, ...]:
        """The seed's two go first where only beta differs; then the same a, b; then the rest."""
        seed = self.entry.lineage == "seed"
        plain = self.same and math.isclose(self.scale, 1, rel_tol=_SAME)
        return (
            not (seed and plain),
            not (self.exact and self.fits),
            not self.same,
            not seed,
            not math.isclose(self.beta, 1, rel_tol=_SAME),
            not self.fits,
            0.0 if self.same else abs(math.log(self.beta)) + abs(math.log(self.scale)),
            self.place,
        )


def nearest(kind: str | None, points: Sequence[Point], asked: Point) -> Match | None:
    """Return the convention nearest to what was measured; ``None`` without an R or against K."""
    if asked.a <= 0 or asked.b < 0:
        return None
    if asked.b == 0:
        return None
    found = sorted(_candidates(kind, points, asked), key=lambda c: c.rank)
    if not found:
        return None
    best = found[0]
    also = tuple(
        c.entry.name for c in found if c.exact and c.fits and c.entry.name != best.entry.name
    )
    return Match(
        name=best.entry.name,
        title=best.entry.convention.title,
        beta=_short(best.beta),
        scale=_short(best.scale),
        same=best.same,
        also=also,
    )


def _candidates(kind: str | None, points: Sequence[Point], asked: Point) -> Iterator[_Candidate]:
    for place, entry in enumerate(catalogue().values()):
        if not entry.trainable:
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
        seed = entry.lineage == "seed" and kind in ("bce", "bce_logits", "mse")
        fits = kind is None or seed or entry.reconstruction in _KINDS.get(kind, ())
        yield _Candidate(entry, place, weighed / scale, scale, same, fits)


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
