"""The coefficients of a loss, measured at its sizes and weights and at others."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lossbench.audit.answer import Stopped
from lossbench.audit.probe import Floats, Probe, kl, reconstruction
from lossbench.audit.probing import Probing
from lossbench.audit.terms import Kl, Reconstruction, quiet

_ENDS = ("call", "shape", "type", "not finite", "build")  # the loss refuses a size, and lives on


@dataclass(frozen=True)
class Point:
    """a and b measured on one probe, with their standard errors and every size and weight."""

    symbols: dict[str, float]
    a: float
    b: float
    a_error: float
    b_error: float
    rest: float

    @property
    def beta_eff(self) -> float:
        """The weight of K relative to R; NaN without an R."""
        return self.b / self.a if self.a else math.nan

    @property
    def beta_eff_error(self) -> float:
        """Its standard error, to first order."""
        if not (self.a and self.b):
            return 0.0
        return abs(self.beta_eff) * math.hypot(self.a_error / self.a, self.b_error / self.b)


def measure(probing: Probing, probe: Probe, term: Reconstruction, latents: Kl) -> Point:
    """Return a and b at the sizes of a probe, from two pairs of answers."""
    low, high = replace(probe, level=0.2), replace(probe, level=0.65)
    change = reconstruction(high, term.nearest) - reconstruction(low, term.nearest)
    a = (probing.value(high) - probing.value(low)) / change
    if not term.present:
        a = np.zeros_like(a)
    still = quiet(probe, term.kind)
    near, far = (replace(still, mean=m, low=lo, high=hi) for m, lo, hi in _pair(latents))
    log_std = latents.form == "log_std"
    values = (probing.value(far), probing.value(near))
    b = (values[0] - values[1]) / (kl(far, log_std=log_std) - kl(near, log_std=log_std))
    if latents.form == "absent":
        b = np.zeros_like(b)
    symbols: dict[str, float] = {"d": probe.d, "k": probe.k, "B": probe.rows, "N": probe.n_images}
    symbols |= {
        name: float(value)
        for name, value in probe.settings
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return Point(
        symbols, float(a.mean()), float(b.mean()), _error(a), _error(b), float(values[1].mean())
    )


def _error(values: Floats) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def _pair(latents: Kl) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return two settings of the latents between which the KL is as its form says."""
    match latents.form:
        case "floor":
            return (4.0, 0.0, 0.0), (6.0, -3.0, -3.0)
        case "cap":
            return (0.0, 0.0, 0.0), (0.3, -0.2, 0.0)
        case "parts" if latents.weights and latents.weights.get("mean^2"):
            return (0.0, 0.0, 0.0), (3.0, 0.0, 0.0)
        case "parts":
            return (0.0, 0.0, 0.0), (0.0, -2.0, -1.0)
    return (0.0, 0.0, 0.0), (3.0, -3.5, -3.0)


@dataclass(frozen=True)
class Survey:
    """Coefficients at the asked sizes (``asked``), at a small batch (``reference``) and around.

    ``around`` has the points for each symbol that was changed; ``fixed`` the sizes that cannot
    be, with what the loss said; ``idle`` the weights that change nothing.
    """

    asked: Point
    reference: Point
    around: dict[str, tuple[Point, ...]]
    fixed: dict[str, str]
    idle: tuple[str, ...]
    joint: Point | None
    partial: Point | None

    @property
    def points(self) -> tuple[Point, ...]:
        """Every point at the asked weights, first the one that differs in most sizes."""
        found = [*([self.joint] if self.joint else []), self.reference, self.asked]
        for symbol in ("d", "k", "B", "N"):
            found += self.around.get(symbol, ())
        return tuple(found)


def survey(
    probing: Probing,
    base: Probe,
    batch_size: int,
    varies: tuple[str, ...],
    terms: tuple[Reconstruction, Kl],
    weights: Mapping[str, float],
    sized_batch: bool,
) -> Survey:
    """Measure at the asked sizes and, one change at a time, at others."""
    reference = measure(probing, base, *terms)
    asked = measure(probing, replace(base, rows=batch_size, batch_size=batch_size), *terms)
    around: dict[str, tuple[Point, ...]] = {}
    fixed: dict[str, str] = {}
    for size in ("d", "k", "B", "N"):
        if size not in varies:
            fixed[size] = ""
            continue
        try:
            around[size] = tuple(measure(probing, p, *terms) for p in _others(base, size))
        except Stopped as stop:
            if stop.failure.stage not in _ENDS:
                raise
            fixed[size] = stop.failure.message
    idle = []
    for name, value in weights.items():
        others = _reweighted(base, name, value)
        try:
            around[name] = tuple(measure(probing, p, *terms) for p in others)
        except Stopped as stop:
            if stop.failure.stage not in _ENDS:
                raise
            continue
        if all(_alike(point, reference) for point in around[name]):
            idle.append(name)
    together = base
    for size in around.keys() & {"d", "k", "B"}:
        together = _others(together, size)[0]
    joint = measure(probing, together, *terms) if together != base else None
    partial = None
    if sized_batch:
        partial = measure(probing, replace(base, rows=max(1, base.rows // 2)), *terms)
    return Survey(asked, reference, around, fixed, tuple(idle), joint, partial)


def _alike(one: Point, other: Point) -> bool:
    pairs = ((one.a, other.a), (one.b, other.b), (one.rest, other.rest))
    slack = 5 * (one.a_error + one.b_error)
    return all(math.isclose(x, y, rel_tol=1e-6 + slack, abs_tol=1e-12) for x, y in pairs)


def _others(base: Probe, size: str) -> tuple[Probe, Probe]:
    """Return the probe at two other values of a size."""
    match size:
        case "d":
            first, second = (_reshaped(base.shape, step) for step in (1, 2))
            return (
                replace(base, d=math.prod(first), shape=first),
                replace(base, d=math.prod(second), shape=second),
            )
        case "k":
            return replace(base, k=base.k + 1), replace(base, k=2 * base.k + 3)
        case "B":
            more = (base.rows + 4, 2 * base.rows + 5)
            return (
                replace(base, rows=more[0], batch_size=more[0]),
                replace(base, rows=more[1], batch_size=more[1]),
            )
    return replace(base, n_images=base.n_images * 2), replace(base, n_images=base.n_images + 7)


def _reshaped(shape: tuple[int, ...], step: int) -> tuple[int, ...]:
    """Return another shape of image: flat ones grow, others change in their two longest sides."""
    if len(shape) == 1:
        return (shape[0] + 13 * step + shape[0] // 3 * (step - 1),)
    longest = sorted(range(len(shape)), key=lambda axis: -shape[axis])[:2]
    return tuple(side + 3 * step if n in longest else side for n, side in enumerate(shape))


def _reweighted(base: Probe, name: str, value: float) -> tuple[Probe, Probe]:
    rest = tuple(pair for pair in base.settings if pair[0] != name)
    new = (1.7 * value, 0.45 * value) if value else (1.0, 2.0)
    first, second = (replace(base, settings=(*rest, (name, n))) for n in new)
    return first, second
