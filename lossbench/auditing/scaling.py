"""The coefficients of a loss, measured at its sizes and weights and at others."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from lossbench.auditing.kl_term import Kl, KlForm
from lossbench.auditing.probe import Floats, Probe, Setting, channel_axis
from lossbench.auditing.probing import Probing
from lossbench.auditing.reconstruction import Reconstruction, weight
from lossbench.auditing.records import Output, Stopped

_SYMBOLS = ("a", "b", "d", "k", "B", "N", "R", "K", "channels")
# The loss refuses a size, or a gradient, and lives on.
ENDS = ("call", "shape", "type", "not finite", "build", "gradient")


@dataclass(frozen=True)
class Point:
    """a and b measured on one probe, with their standard errors and every size and weight.

    ``rest`` is the total where both terms are least.
    """

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


def measure(probing: Probing, probe: Probe, term: Reconstruction, kl: Kl) -> Point:
    """Return a and b at the sizes of a probe, from two pairs of answers."""
    rest = kl.at_rest()
    if kl.form is not KlForm.UNKNOWN:
        probe = replace(probe, mean=0.0, low=rest, high=rest)
    a = weight(probing, probe, term)
    still = term.quiet(probe)
    still = replace(still, alike=bool(kl.further) and kl.form is KlForm.CLOSED)
    b = a * 0
    if kl.form not in (KlForm.ABSENT, KlForm.UNKNOWN):
        near, far = (replace(still, mean=mean, latent_draw=3) for mean in means_of(kl))
        values = probing.value(near), probing.value(far)
        if not kl.weights[0]:
            near, far = (replace(still, low=rest + n, high=rest + n) for n in (0.3, 0.9))
            values = probing.value(near), probing.value(far)
        elif probing.stochastic:  # what goes with the noise times the mean cancels
            mirrored = [probing.value(replace(p, mean=-p.mean)) for p in (near, far)]
            values = (values[0] + mirrored[0]) / 2, (values[1] + mirrored[1]) / 2
        b = (values[1] - values[0]) / (kl.worth(far) - kl.worth(near))
    symbols: dict[str, float] = {"d": probe.d, "k": probe.k, "B": probe.rows, "N": probe.n_images}
    if len(probe.shape) == 3:
        symbols["channels"] = probe.shape[channel_axis(probe.shape)]
    symbols |= {
        symbol_of(name): float(value)  # type: ignore[arg-type]
        for name, value in probe.settings
        if _is_number(value)
    }
    return Point(
        symbols,
        float(a.mean()),
        float(b.mean()),
        _error(a),
        _error(b),
        float(probing.value(still).mean()),
    )


def symbol_of(name: str) -> str:
    """Return the symbol of a further number; one called like ours is told as ``your_b``."""
    return f"your_{name}" if name in _SYMBOLS else name


def name_of(symbol: str) -> str:
    """Return the name of a further number.

    >>> name_of(symbol_of("b")), name_of(symbol_of("your_own"))
    ('b', 'your_own')
    """
    name = symbol.removeprefix("your_")
    return name if name in _SYMBOLS else symbol


def means_of(kl: Kl) -> tuple[float, float]:
    """Return two sizes of the means between which the loss goes linearly with K."""
    match kl.form:
        case KlForm.FLOOR | KlForm.CAPACITY | KlForm.SQUARED_CAPACITY:
            return kl.far, 1.6 * kl.far
        case KlForm.CAP:
            return 0.0, 0.2 * min(1.0, math.sqrt(kl.bound))
    high = min((c.high for c in kl.clamps if c.on == "z_mean"), default=math.inf)
    return 0.0, min(2.0, 0.7 * high)


def _error(values: Floats) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def _is_number(value: Setting) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Survey:
    """Coefficients at the asked sizes (``asked``), at a small batch (``reference``) and around.

    ``around`` has the points for each size that was changed, ``weights`` those for each further
    number; ``fixed`` names the sizes that cannot be changed, with what the loss said; ``idle`` the
    numbers that change nothing; ``evaluating`` is the point of the evaluation mode, and ``unlike``
    whether that mode answers otherwise anywhere; ``reshaped`` names the numbers at whose other
    values the KL has another form.
    """

    asked: Point
    reference: Point
    around: dict[str, tuple[Point, ...]]
    weights: dict[str, tuple[Point, ...]]
    fixed: dict[str, str]
    idle: tuple[str, ...]
    joint: Point | None
    partial: Point | None
    evaluating: Point
    unlike: bool
    reshaped: tuple[str, ...] = ()

    @property
    def points(self) -> tuple[Point, ...]:
        """Every point at the asked weights, first the one that differs in most sizes."""
        found = [*([self.joint] if self.joint else []), self.reference, self.asked]
        for symbol in ("d", "k", "B", "N", "channels"):
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
    images = ("channels",) if len(base.shape) == 3 and "d" in varies else ()
    for size in ("d", "k", "B", "N", *images):
        if size not in (*varies, *images):
            fixed[size] = ""
            continue
        try:
            around[size] = tuple(measure(probing, p, *terms) for p in _others(base, size))
        except Stopped as stop:
            if stop.failure.stage not in ENDS:
                raise
            fixed[size] = stop.failure.message
    weighed: dict[str, tuple[Point, ...]] = {}
    idle, reshaped = [], []
    for name, value in weights.items():
        others = reweighted(base, name, value)
        try:
            weighed[symbol_of(name)] = tuple(measure(probing, p, *terms) for p in others)
            if any(_has_other_form(probing, p, terms[1]) for p in others):
                reshaped.append(symbol_of(name))
            if _idle(probing, base, others, terms[1]):
                idle.append(symbol_of(name))
        except Stopped as stop:
            if stop.failure.stage not in ENDS:
                raise
    together = base
    for size in around.keys() & {"d", "k", "B"}:
        together = next(_others(together, size))
    joint = measure(probing, together, *terms) if together != base else None
    partial = None
    if sized_batch:
        partial = measure(probing, replace(base, rows=max(1, base.rows // 2)), *terms)
    evaluating = measure(probing, replace(base, training=False), *terms)
    unlike = not probing.stochastic and not all(
        _alike(probing, place, replace(place, training=False)) for place in _places(base, terms[1])
    )
    return Survey(
        asked,
        reference,
        around,
        weighed,
        fixed,
        tuple(idle),
        joint,
        partial,
        evaluating,
        unlike,
        tuple(reshaped),
    )


def _places(base: Probe, kl: Kl) -> tuple[Probe, ...]:
    """Return probes on both sides of whatever the loss may do to its latents or images."""
    rest = kl.at_rest()
    return tuple(
        replace(base, **place)
        for place in (
            {"mean": 0.0, "low": rest, "high": rest},
            {"mean": 0.4, "low": rest + 0.1, "high": rest + 0.3, "level": 0.65},
            {"mean": 2.0, "low": rest, "high": rest + 0.5},
            {"mean": kl.far, "low": rest, "high": rest + 0.5, "pattern": "uneven"},
            {"mean": 90.0, "low": rest, "high": rest + 2.0, "level": 0.2},
            {"mean": 0.0, "low": rest + 7.0, "high": rest + 13.0},
            {"mean": 0.0, "low": rest + 18.0, "high": rest + 28.0},
            {"mean": 0.0, "low": rest - 30.0, "high": rest - 6.0},
        )
    )


def _has_other_form(probing: Probing, probe: Probe, kl: Kl) -> bool:
    """Return whether a loss that is ``b*K`` goes with K no longer: small means, then large ones."""
    if kl.form is not KlForm.CLOSED or probing.stochastic or kl.further or not kl.weights[0]:
        return False
    rest = kl.at_rest()
    means = (0.0, 0.05, 0.3, 2.0)
    probes = [
        replace(probe, mean=m, low=rest, high=rest, latent_draw=3, x_hat="equal", x="grey")
        for m in means
    ]
    values = probing.values(probes, finite=False).mean(axis=1)
    worth = np.array([kl.worth(p) for p in probes])
    if not np.isfinite(values).all():
        return False
    slopes = np.diff(values) / np.diff(worth)
    noise = 2 * probing.rounding(values) / np.diff(worth).min()
    return bool(np.ptp(slopes) > 0.01 * np.abs(slopes).max() + noise)


def _idle(probing: Probing, base: Probe, others: tuple[Probe, ...], kl: Kl) -> bool:
    """Return whether answers and gradients stay the same at other weights, wherever one looks."""
    still = replace(base, low=kl.at_rest(), high=kl.at_rest())
    ways = [replace(base, x_hat="off", level=0.1, along="level", step=0.1)]
    ways += [replace(still, mean=m, along="mean", step=0.1) for m in (0.1, 0.3, 0.6, 1.0, 2.0)]
    ways += [replace(still, high=kl.at_rest() + 0.4, along="u", step=0.1)]
    return all(
        _alike(probing, place, replace(place, settings=other.settings))
        for place in (*_places(base, kl), *([] if probing.stochastic else ways))
        for other in others
    )


def _alike(probing: Probing, one: Probe, other: Probe) -> bool:
    outputs = [_outputs(probing, probe) for probe in (one, other)]
    eps = 1e-6 if probing.single else 1e-12
    return len(outputs[0]) == len(outputs[1]) and all(
        here.n_not_finite == there.n_not_finite
        and math.isclose(here.mean, there.mean, rel_tol=eps, abs_tol=1e-300)
        for here, there in zip(*outputs, strict=True)
    )


def _outputs(probing: Probing, probe: Probe) -> tuple[Output, ...]:
    """Return what a loss answers; nothing where it refuses such latents."""
    try:
        return probing.answer(probe).outputs
    except Stopped as stop:
        if stop.failure.stage not in ENDS:
            raise
        return ()


def _others(base: Probe, size: str) -> Iterator[Probe]:
    """Yield the probe at two other values of a size."""
    for step in (1, 2):
        match size:
            case "d":
                shape = _grown(base.shape, step, _sides(base.shape))
                yield replace(base, d=math.prod(shape), shape=shape)
            case "channels":
                shape = _channels(base.shape, step)
                yield replace(base, d=math.prod(shape), shape=shape)
            case "k" if base.latent_shape:
                latent = _grown(base.latent_shape, step, _longest(base.latent_shape))
                yield replace(base, k=math.prod(latent), latent_shape=latent)
            case "k":
                yield replace(base, k=base.k + 1 if step == 1 else 2 * base.k + 3)
            case "B":
                rows = base.rows + 4 if step == 1 else 2 * base.rows + 5
                yield replace(base, rows=rows, batch_size=rows)
            case _:
                n_images = base.n_images * 2 if step == 1 else base.n_images + 7
                yield replace(base, n_images=n_images)


def _grown(shape: tuple[int, ...], step: int, axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return another shape: flat ones grow, others in these sides."""
    if len(shape) == 1:
        return (shape[0] + 13 * step + shape[0] // 3 * (step - 1),)
    return tuple(side + 3 * step if n in axes else side for n, side in enumerate(shape))


def _longest(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(shape)), key=lambda axis: -shape[axis])[:2])


def _sides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of an image that are no channels."""
    if len(shape) != 3:
        return _longest(shape)
    return (1, 2) if channel_axis(shape) == 0 else (0, 1)


def _channels(shape: tuple[int, ...], step: int) -> tuple[int, ...]:
    """Return the shape with another number of channels; they stay the same side of it."""
    first, *_, last = shape
    if channel_axis(shape) == 0:
        return (4 - first, *shape[1:])
    return (*shape[:-1], last + 2 * step)


def reweighted(base: Probe, name: str, value: float) -> tuple[Probe, ...]:
    """Return the probe at two other values of a further number; whole ones stay whole."""
    rest = tuple(pair for pair in base.settings if pair[0] != name)
    new: tuple[float, float] = (1.7 * value, 0.45 * value) if value else (1.0, 2.0)
    if isinstance(dict(base.settings).get(name, value), int) and float(value).is_integer():
        new = (2 * int(value), int(value) // 2 or 3 * int(value)) if value else (1, 2)
    return tuple(replace(base, settings=(*rest, (name, n))) for n in new)
