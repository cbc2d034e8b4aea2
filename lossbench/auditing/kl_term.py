"""The KL term: frames of the spread, clamps, floors and capacities, and which of them a loss has.

The mean and u, the second array, are moved one at a time over a wide range, the same for every
image and latent. What is read off these two scans is a model of the term; it counts only if it
foretells answers that it was not read from.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from lossbench.auditing.probe import EVERY, Floats, Probe, latents
from lossbench.auditing.probing import UNEVEN, Probing, chance_of, share
from lossbench.auditing.reconstruction import told_uneven

_MEANS = (
    *(0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 14.0),
    *(25.0, 60.0, 150.0, 400.0),
)
_SPREADS = (
    *(-60.0, -50.0, -40.0, -30.0, -20.0, -15.0, -12.0, -9.0, -7.0, -5.0, -4.0, -3.0, -2.0, -1.4),
    *(
        -1.0,
        -0.7,
        -0.4,
        -0.2,
        -0.1,
        -0.05,
        0.0,
        0.05,
        0.1,
        0.2,
        0.4,
        0.7,
        0.85,
        1.0,
        1.2,
        1.4,
        2.0,
        3.0,
        4.0,
        5.0,
        7.0,
    ),
    *(9.0, 12.0, 15.0, 20.0, 25.0, 30.0),
)
_RANGES = ((-60.0, 30.0), (-12.0, 12.0), (-7.0, 7.0), (-3.0, 3.0), (0.1, 3.0))
_COUPLED = (
    "a term that depends on the latents of the batch as a whole, such as a total correlation, an "
    "MMD, a penalty on their covariance or the square of their mean KL"
)
_DIFFER = (
    "a term that depends on how the latents of a batch's images differ, such as a penalty on their "
    "covariance"
)
_RESTS = (0.0, 1.0, 0.5413)  # where the variance is 1, in one frame or another
_PLAIN = (0.0, 0.25, 1 / 3, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
_LEAST_BOUND = 1e-5  # nats
_CLOSE = (1.0, 1.000001, 1.000002)  # equal in half precision alone
_SAME = 1e-3
# Sizes of the means and ranges of u, for what the model must foretell.
_FORETOLD = (
    *((0.1, -0.1, 0.1), (0.0, -1.5, 0.5), (1.0, 0.0, 0.5), (2.0, -1.0, -0.2), (0.7, -1.0, 1.0)),
    *((1.5, 0.5, 1.0), (2.5, 0.0, 1.0), (4.5, 0.5, 1.5), (6.0, -3.0, 0.0)),
)


class KlForm(StrEnum):
    """What a loss does with the KL of each image and latent."""

    CLOSED = "closed"
    PARTS = "parts"  # its parts do not count as they should
    FLOOR = "floor"  # max(f, K), or max(K - f, 0)
    CAPACITY = "capacity"  # |K - C|
    SQUARED_CAPACITY = "squared_capacity"  # (K - C)^2
    CAP = "cap"  # min(K, c)
    UNKNOWN = "unknown"
    ABSENT = "absent"


class Over(StrEnum):
    """What a floor, a cap or a capacity is on."""

    LATENT = "each latent's mean over the batch"
    LATENT_OF_IMAGE = "every latent of every image"
    BATCH = "the batch's mean KL"
    IMAGE = "the KL of every image"


@dataclass(frozen=True)
class Frame:
    """What a loss takes u for: the variance as a function of it; ``words`` for u itself."""

    name: str
    words: str
    variance: Callable[[Floats], Floats]
    positive: bool = False


def _softplus(u: Floats) -> Floats:
    return np.asarray(np.logaddexp(0, u))


def _softplus_frames(floor: float) -> tuple[Frame, Frame]:
    """Return the frames of softplus, with what is added to it."""
    return (
        Frame(
            "softplus_std",
            "what softplus makes the standard deviation",
            lambda u: (_softplus(u) + floor) ** 2,
        ),
        Frame("softplus_var", "what softplus makes the variance", lambda u: _softplus(u) + floor),
    )


FRAMES = (
    Frame("log_var", "the log variance", np.exp),
    Frame("log_std", "the log of the standard deviation", lambda u: np.exp(2 * u)),
    Frame("std", "the standard deviation", np.square, positive=True),
    Frame("var", "the variance", lambda u: u, positive=True),
    *_softplus_frames(0.0),
    Frame("log_precision", "the log precision, minus the log variance", lambda u: np.exp(-u)),
    *(
        frame
        for floor in (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)  # added against a zero
        for frame in _softplus_frames(floor)
    ),
)


@dataclass(frozen=True)
class Clamp:
    """What was found of a clamp: on ``z_mean`` or ``u``, its bounds, soft ones roughly."""

    on: str
    low: float = -math.inf
    high: float = math.inf
    soft: bool = False


@dataclass(frozen=True)
class Kl:
    """The KL term as ``worth`` gives it, times b.

    Each image and latent has ``1/2 (m mean^2 + s variance^p - 1 - l ln variance)`` with the
    weights ``(m, s, l)``, all 1 where nothing is wrong, and ``power`` p; the mean and u are
    clamped first. ``bound`` is the floor, capacity or cap in nats, ``over`` what it is on.
    ``uneven`` says which images or latents do not count like the others, ``further`` what else
    depends on the latents, in words; ``coarse`` is whether it is computed in half precision;
    ``far`` is a mean well beyond the bound.
    """

    form: KlForm
    frame: Frame = FRAMES[0]
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    power: float = 1.0
    clamps: tuple[Clamp, ...] = ()
    bound: float = 0.0
    over: Over = Over.IMAGE
    uneven: str = ""
    further: str = ""
    coarse: bool = False
    rest: float | None = None
    far: float = field(default=3.0, repr=False)

    def variance(self, drawn: Floats) -> Floats:
        """Return the variance that the loss gives what a probe draws as u."""
        for clamp in self.clamps:
            if clamp.on == "u" and not clamp.soft:
                drawn = np.clip(drawn, clamp.low, clamp.high)
        return np.asarray(self.frame.variance(drawn))

    def terms(self, probe: Probe) -> Floats:
        """Return what every image and latent is worth, in nats ``(rows, k)``."""
        mean, drawn = latents(probe)
        for clamp in self.clamps:
            if clamp.on == "z_mean":
                mean = np.clip(mean, clamp.low, clamp.high)
        m, s, l = self.weights  # noqa: E741 - as in the formula
        variance = self.variance(drawn)
        logs = np.log(variance) if l else 0.0
        return np.asarray(0.5 * (m * mean**2 + s * variance**self.power - 1 - l * logs))

    def worth(self, probe: Probe) -> float:
        """Return what the form makes of the terms: its sum over the latents, mean over images."""
        terms = self.terms(probe)
        if self.form in (KlForm.CLOSED, KlForm.PARTS):
            return float(terms.sum() / probe.rows)
        if self.over in (Over.LATENT, Over.BATCH):
            terms = terms.mean(axis=0, keepdims=True)
        if self.over in (Over.IMAGE, Over.BATCH):
            terms = terms.sum(axis=1, keepdims=True)
        match self.form:
            case KlForm.FLOOR:
                terms = np.maximum(terms, self.bound)
            case KlForm.CAP:
                terms = np.minimum(terms, self.bound)
            case KlForm.CAPACITY:
                terms = np.abs(terms - self.bound)
            case KlForm.SQUARED_CAPACITY:
                terms = (terms - self.bound) ** 2
        return float(terms.sum() / len(terms))

    def at_rest(self) -> float:
        """Return the drawn u at which the KL of a zero mean is least, as far as it is known."""
        if self.rest is not None:
            return self.rest
        drawn = np.arange(3001) / 1000
        drawn = np.stack([drawn, -drawn], axis=1).ravel()  # of equal ones, that nearest to 0
        with np.errstate(all="ignore"):
            variance = self.variance(drawn)
            worth = variance - np.log(variance)
        return float(drawn[np.nanargmin(worth)])


def read_kl(probing: Probing, base: Probe, expected: Sequence[str]) -> Kl:
    """Return the KL term; ``base`` is quiet, its u where the loss is finite.

    ``expected`` are the names of the frames that the argument's name speaks for, likeliest first.
    """
    starts = (
        [base]
        if probing.stochastic
        else [base, *(replace(base, low=u, high=u, still=u) for u in _RESTS if u != base.low)]
    )
    moves = False
    for start in starts:
        means = _scan(probing, start, mean=_MEANS)
        for shape in _read_means(probing, start, means):
            spreads = _scan(probing, replace(start, mean=shape.at), low=_SPREADS)
            moves = moves or means.moves(probing) or spreads.moves(probing)
            models = _models(probing, start, shape, spreads, expected) if moves else ()
            checked = (_checked(probing, start, model) for model in models)
            told = next((model for model in checked if model is not None), None)
            if told is not None:
                noisy = probing.stochastic and told.bound  # no more digits than are known
                return replace(told, bound=float(f"{told.bound:.2g}")) if noisy else told
    if not moves and not _moves_at_all(probing, base):
        return Kl(KlForm.ABSENT, rest=base.low)
    return _unknown(probing, base)


@dataclass(frozen=True)
class _Scan:
    """The total while one thing moves: places ``(n,)``, totals ``(n, n_seeds)``; finite ones."""

    places: Floats
    totals: Floats

    def within(self, low: float, high: float) -> "_Scan":
        chosen = (self.places >= low) & (self.places <= high)
        return _Scan(self.places[chosen], self.totals[chosen])

    def moves(self, probing: Probing) -> bool:
        means = self.totals.mean(axis=1)
        return bool(np.ptp(means) > probing.rounding(self.totals)) if len(means) else False

    def below_the_cap(self, probing: Probing, start: float) -> "_Scan":
        """Return the stretch around ``start`` whose totals are not that of the ends."""
        free = np.abs(self.totals - self.totals[-1]).max(axis=1) > probing.rounding(self.totals)
        first = last = int(np.argmin(np.abs(self.places - start)))
        while first > 0 and free[first - 1]:
            first -= 1
        while last < len(free) - 1 and free[last + 1]:
            last += 1
        return _Scan(self.places[first : last + 1], self.totals[first : last + 1])

    def flat(self, probing: Probing, *, end: int) -> int:
        """Return how many places at the low (0) or high (-1) end have one and the same total."""
        totals = self.totals if end == 0 else self.totals[::-1]
        slack = probing.rounding(totals[:3])
        n = 1
        while n < len(totals) and np.abs(totals[n] - totals[0]).max() <= slack:
            n += 1
        return n if n >= 3 else 0


def _scan(probing: Probing, base: Probe, **moved: tuple[float, ...]) -> _Scan:
    """Return the totals of the longest finite stretch while one thing moves, all latents alike."""
    ((name, places),) = moved.items()
    probes = [replace(base, pattern="even", **{name: place}) for place in places]  # type: ignore[arg-type]
    totals = probing.values(probes, finite=False)
    finite = np.isfinite(totals).all(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], finite, [False]]).astype(int)))
    around = getattr(base, name)  # where the loss is finite
    start, end = min(
        zip(edges[::2], edges[1::2], strict=True),
        key=lambda e: (not places[e[0]] <= around <= places[e[1] - 1], e[0] - e[1]),
        default=(0, 0),
    )
    return _Scan(np.array(places)[start:end], totals[start:end])


@dataclass(frozen=True)
class _Means:
    """What the scan of the means says: the form, b a seed, the bound in all, the clamp.

    ``at`` is a mean at which the total goes linearly with K.
    """

    form: KlForm
    b: Floats
    bound: float = 0.0
    clamp: Clamp | None = None
    at: float = 0.0


def _fitted(probing: Probing, features: Floats, totals: Floats) -> tuple[Floats, bool]:
    """Return coefficients ``(n_features + 1, n_seeds)`` with a constant, and whether all fits.

    Every place counts by its own size: a far one must not drown a near one.
    """
    middle = totals.mean(axis=1)
    size = np.abs(middle - middle[np.argmin(np.abs(features).sum(axis=1))])
    least = size[size > probing.rounding(totals[:1])].min(initial=np.inf)
    size = np.maximum(size, least if np.isfinite(least) else 1.0)
    design = np.column_stack([features, np.ones(len(features))])
    columns = np.abs(design / size[:, None]).max(axis=0)
    columns[columns == 0] = 1.0
    scaled = design / size[:, None] / columns
    solution = np.linalg.lstsq(scaled, totals / size[:, None], rcond=1e-13)[0] / columns[:, None]
    return solution, bool(_near(probing, design @ solution, totals, size).all())


def _near(probing: Probing, expected: Floats, totals: Floats, size: Floats) -> Floats:
    """Return where totals are as expected, to a thousandth of ``size``, rounding and chance."""
    rest = np.abs((totals - expected).mean(axis=1))
    chance = chance_of(totals - expected)
    return np.asarray(rest <= _SAME * size + probing.roundings(totals) + chance)


def _read_means(probing: Probing, base: Probe, scan: _Scan) -> list[_Means]:
    """Return the forms that the scan of the means speaks for, the plainest first."""
    if len(scan.places) < 4 or not scan.moves(probing):
        return [_Means(KlForm.CLOSED, np.zeros(scan.totals.shape[1]))]
    return list(_shapes(probing, base, scan))


def _shapes(probing: Probing, base: Probe, scan: _Scan) -> Iterator[_Means]:
    """Yield the forms that the scan of the means allows: K goes with the square of a mean."""
    s = 0.5 * base.k * scan.places**2
    whole, holds = _fitted(probing, s[:, None], scan.totals)
    if holds:
        yield _Means(KlForm.CLOSED, whole[0])
    flat = scan.flat(probing, end=-1)
    for n in range(len(s) - flat, 3, -1) if flat else ():
        line, holds = _fitted(probing, s[:n, None], scan.totals[:n])
        if holds:
            yield _bounded(probing, base, scan, line)
            break
    fits = (_fitted(probing, s[n:, None], scan.totals[n:]) for n in range(1, len(s) - 3))
    (b, c), holds = next((fit for fit in fits if fit[1]), (np.zeros((2, 1)), False))
    if holds and abs(b.mean()) > 0:
        gaps = (scan.totals[0] - c) / b
        gap, least = float(gaps.mean()), max(_LEAST_BOUND, float(chance_of(gaps)))
        slope = float(((scan.totals[1] - scan.totals[0]) / (s[1] * b)).mean())
        falls = slope < -0.5 and not scan.flat(probing, end=0)
        forms = [(KlForm.FLOOR, gap), (KlForm.CAPACITY, gap / 2)]
        for form, bound in reversed(forms) if falls else forms:  # the scan may step over a small C
            if bound > least and bound * abs(b.mean()) > probing.rounding(scan.totals[:1]):
                yield _Means(form, b, bound, at=math.sqrt(max(10 * bound, 10) / base.k * 2))
    squares, holds = _fitted(probing, np.column_stack([s**2, s]), scan.totals)
    if holds and squares[0].mean() and (centre := -float((squares[1] / squares[0]).mean()) / 2) > 0:
        yield _Means(KlForm.SQUARED_CAPACITY, squares[0], centre)
    for n in (len(s) - 4, len(s) - 7):  # far means may be damped, or drown in rounding
        near, holds = _fitted(probing, s[:n, None], scan.totals[:n])
        if holds:
            yield _Means(KlForm.CLOSED, near[0])


def _bounded(probing: Probing, base: Probe, scan: _Scan, line: Floats) -> _Means:
    """Return whether it is the mean that is clamped or the KL that is cut off."""
    b, c = line
    bound = float(((scan.totals[-1] - c) / b).mean())
    end = replace(base, pattern="even", mean=float(scan.places[-1]))
    other = probing.value(replace(end, low=base.low + 0.5), finite=False)
    if abs(float((other - scan.totals[-1]).mean())) > probing.rounding(scan.totals):
        side = float(f"{math.sqrt(2 * bound / base.k):.6g}")
        return _Means(KlForm.CLOSED, b, clamp=Clamp("z_mean", -side, side))
    return _Means(KlForm.CAP, b, bound)


def _models(
    probing: Probing, base: Probe, shape: _Means, scan: _Scan, expected: Sequence[str]
) -> Iterator[Kl]:
    """Yield the models that both scans allow, the plainest first."""
    frames = sorted(
        FRAMES, key=lambda f: expected.index(f.name) if f.name in expected else len(expected)
    )
    if shape.form is KlForm.SQUARED_CAPACITY:
        for frame in frames[:2]:
            yield from _bounds(Kl(shape.form, frame, bound=shape.bound), base.k)
        return
    low, high = (scan.flat(probing, end=end) for end in (0, -1))
    inner = _Scan(*(a[low : len(a) - high] for a in (scan.places, scan.totals)))
    if shape.form is KlForm.CAP:
        inner, low, high = scan.below_the_cap(probing, base.low), 0, 0
    for fit in _fitted_frames(probing, base, shape, inner, frames):
        clamp = _clamp_of(probing, fit, scan, low, high) if low or high else fit.soft
        clamps = tuple(c for c in (shape.clamp, clamp) if c is not None)
        kl = replace(fit.kl, clamps=clamps)
        if shape.form in (KlForm.FLOOR, KlForm.CAPACITY, KlForm.CAP):
            if kl.form is KlForm.CLOSED:  # seen from where u was, not from no KL at all
                start = kl.worth(replace(base, mean=0.0, high=base.low))
                yield from _bounds(replace(kl, form=shape.form, bound=shape.bound + start), base.k)
        else:
            yield kl


def _bounds(kl: Kl, k: int) -> Iterator[Kl]:
    """Yield a form with its bound on everything that it may be on."""
    for over in Over if k > 1 else (Over.BATCH, Over.IMAGE):
        each = kl.bound / k if over in (Over.LATENT, Over.LATENT_OF_IMAGE) else kl.bound
        yield replace(
            kl, over=over, bound=float(f"{each:.6g}"), far=math.sqrt(20 * max(kl.bound, 1))
        )


@dataclass(frozen=True)
class _FrameFit:
    kl: Kl
    scale: float
    k: int
    price: tuple[int, ...]
    soft: Clamp | None


def _fitted_frames(
    probing: Probing,
    base: Probe,
    shape: _Means,
    scan: _Scan,
    frames: Sequence[Frame],
) -> Iterator[_FrameFit]:
    """Yield the frames and powers in which the scan of u is a sum of a variance and its log.

    The plainest come first: those with nothing wrong, in the widest range, by rank. The others are
    only fitted where one goes on asking.
    """
    later = []
    left = list(enumerate(frames))
    for n in range(len(_RANGES)):
        missed = []
        for rank, frame in left:
            holds, fit = _fitted_frame(probing, base, shape, scan, (rank, frame, 1.0), n)
            if not holds:
                missed.append((rank, frame))
            elif fit is not None and not fit.price[0]:
                yield fit
            elif fit is not None:
                later.append(fit)
        left = missed
    for power in (0.5, 2.0):
        for rank, frame in enumerate(frames):
            tried = (
                _fitted_frame(probing, base, shape, scan, (rank, frame, power), n)
                for n in range(len(_RANGES))
            )
            fit = next((fit for holds, fit in tried if holds), None)
            if fit is not None:
                later.append(fit)
    yield from sorted(later, key=lambda fit: fit.price)


def _fitted_frame(
    probing: Probing,
    base: Probe,
    shape: _Means,
    scan: _Scan,
    tried: tuple[int, Frame, float],
    n: int,
) -> tuple[bool, _FrameFit | None]:
    """Return whether a frame, with its rank and a power, fits a range, and the KL if it is one."""
    (rank, frame, power), (low, high) = tried, _RANGES[n]
    part = scan.within(low, high)
    with np.errstate(all="ignore"):
        variance = frame.variance(part.places)
        features = 0.5 * base.k * np.column_stack([variance**power, -np.log(variance)])
    good = np.isfinite(features).all(axis=1)
    if frame.positive:
        good &= part.places > 0
    if good.sum() < 5:
        return False, None
    solution, holds = _fitted(probing, features[good], part.totals[good])
    if not holds:
        return False, None
    s, l = (float(row.mean()) for row in solution[:2])  # noqa: E741
    fitted = _weighed(probing, frame, power, (float(shape.b.mean()), s, l))
    if fitted is None:
        return True, None
    kl, scale = fitted
    soft = None
    short = scan.places[0] < low or scan.places[-1] > high
    if n and short and not frame.positive and not probing.single:
        soft = Clamp("u", low, high, soft=True)
    wrong = sum(abs(w - 1) > 0.01 for w in kl.weights) + (power != 1)
    return True, _FrameFit(kl, scale, base.k, (wrong, n, rank), soft)


def _weighed(
    probing: Probing,
    frame: Frame,
    power: float,
    parts: tuple[float, float, float],
) -> tuple[Kl, float] | None:
    """Return the KL with its parts as multiples of the weight that most of them have."""
    largest = max(map(abs, parts))
    if not largest:
        return None
    slack = 0.1 if probing.stochastic else 0.01
    small = 10 * slack * largest / 100
    parts = tuple(0.0 if abs(w) < small else w for w in parts)  # type: ignore[assignment]
    usual = next(
        (v for v in parts if v and sum(math.isclose(v, w, rel_tol=slack) for w in parts) > 1), 0.0
    )
    usual = usual or max(parts, key=abs)
    weights = tuple(1.0 if math.isclose(w / usual, 1, rel_tol=slack) else w / usual for w in parts)
    whole = all(w == 1 for w in weights) and power == 1
    of_prior = weights[:2] == (1.0, 1.0) and weights[2] > 0 and power == 1
    if not (whole or of_prior or all(_is_plain(w) for w in weights)):
        return None  # nobody wrote 1.996: it is another form that is fitted
    form = KlForm.CLOSED if whole else KlForm.PARTS
    return Kl(form, frame, weights, power), usual  # type: ignore[arg-type]


def _is_plain(weight: float) -> bool:
    """Return whether a part may have been written that often: none, once, half, twice, ..."""
    times = abs(weight)
    return any(math.isclose(times, plain, rel_tol=2e-3, abs_tol=1e-9) for plain in _PLAIN)


def _clamp_of(probing: Probing, fit: _FrameFit, scan: _Scan, low: int, high: int) -> Clamp | None:
    """Return the bounds at which the closed form has the totals of the flat ends.

    An end at which the form itself is flat, as a variance without its logarithm is, is no clamp.
    """
    places = np.linspace(scan.places[0], scan.places[-1], 180_001)
    kl = fit.kl
    with np.errstate(all="ignore"):
        variance = kl.frame.variance(places)
        logs = np.log(variance) if kl.weights[2] else 0.0
        curve = variance**kl.power * kl.weights[1] - kl.weights[2] * logs

    def rise(one: int, other: int) -> tuple[float, float]:
        """Return how the totals, in units of the form, and the form itself rise between places."""
        of_totals = 2 * (scan.totals[other] - scan.totals[one]).mean() / (fit.scale * fit.k)
        ends = np.interp(scan.places[[one, other]], places, curve)
        return float(of_totals), float(ends[1] - ends[0])

    bounds = [-math.inf, math.inf]
    for side, (n, end) in enumerate(((low, 0), (high, -1))):
        if not n:
            continue
        outer, edge, inward = (n - 1, n, 1) if side == 0 else (-n, -n - 1, -1)
        for _ in range(len(scan.places) - n - low - high - 2):  # a soft end leaves the form early
            step, by_form = rise(edge, edge + inward)
            if abs(step - by_form) <= 0.1 * abs(by_form):
                break
            edge += inward
        step, _ = rise(edge, end)
        wanted = np.interp(scan.places[edge], places, curve) + step
        rounding = 2 * probing.rounding(scan.totals[[end, edge]]) / abs(fit.scale * fit.k)
        if abs(curve[end] - wanted) <= 1e-6 * abs(step) + rounding:
            continue
        ends = sorted((scan.places[outer], scan.places[edge]))
        between = (places >= ends[0]) & (places <= ends[1])
        near = np.where(between, np.abs(curve - wanted), np.inf)
        bounds[side] = float(f"{places[np.argmin(near)]:.4g}")
    if not np.isfinite(bounds).any():
        return None
    return Clamp("u", bounds[0], bounds[1])


def _checked(probing: Probing, base: Probe, model: Kl) -> Kl | None:
    """Return the model if it foretells answers that it was not read from, else ``None``."""
    probes = list(_foretold(base, model))
    values = probing.values(probes, finite=False)
    with np.errstate(all="ignore"):
        worth = np.array([model.worth(probe) for probe in probes])
    good = np.isfinite(values).all(axis=1) & np.isfinite(worth)
    if good.sum() < 4:
        return None
    worth, values = worth[good], values[good]
    holds = _holds(probing, worth, values)
    if holds and model.form not in (KlForm.CLOSED, KlForm.PARTS):
        return model
    b = _slope(worth, values)
    shares = _uneven(probing, base, model, b)
    coupled = any("image" in place and abs(times) > UNEVEN for place, times in shares.items())
    uneven = any(abs(times) > 0.2 for times in shares.values())
    if probing.stochastic and (uneven or _of_batch(probing, base)):
        return None  # chance may hide another form in what holds
    if holds and not coupled:
        return replace(model, uneven=told_uneven(shares, "KL"))
    if model.form is not KlForm.CLOSED:
        return None
    alike = [replace(p, alike=True) for p, is_good in zip(probes, good, strict=True) if is_good]
    return _of_some(probing, model, shares, alike)


def _of_some(
    probing: Probing, model: Kl, shares: dict[str, float], alike: list[Probe]
) -> Kl | None:
    """Return a closed form that leaves images or latents out, or with a term of the whole batch."""
    of_images = {place: times for place, times in shares.items() if "image" in place}
    if uneven := told_uneven(of_images, "KL", unfelt=True):
        return replace(model, uneven=uneven)
    worth = np.array([model.worth(probe) for probe in alike])
    if not probing.stochastic and _holds(probing, worth, probing.values(alike)):
        return replace(model, further=_DIFFER)
    uneven = told_uneven(shares, "KL", unfelt=True)
    return replace(model, uneven=uneven) if uneven else None


def _slope(worth: Floats, values: Floats) -> float:
    middle = values.mean(axis=1)
    spread = worth - worth.mean()
    return float((spread * (middle - middle.mean())).sum() / max((spread**2).sum(), 1e-300))


def _holds(probing: Probing, worth: Floats, values: Floats) -> bool:
    if not np.ptp(worth):
        return False
    return _fitted(probing, worth[:, None], values)[1]


def _foretold(base: Probe, model: Kl) -> Iterator[Probe]:
    """Yield probes of unlike sizes, on both sides of a bound, within what soft clamps leave."""
    rest = model.at_rest()
    tight = any(c.soft and c.high - c.low < 10 for c in model.clamps)
    sizes = [(m, low, high) for m, low, high in _FORETOLD]
    if tight or model.frame.positive:
        sizes = [(m, low / 4, high / 4) for m, low, high in sizes]
    yield replace(base, mean=0.0, low=rest, high=rest)
    for draw, (mean, low, high) in enumerate(sizes):
        yield replace(base, mean=mean, low=rest + low, high=rest + high, latent_draw=draw)
    if model.bound:
        total = model.bound * (base.k if model.over in (Over.LATENT, Over.LATENT_OF_IMAGE) else 1)
        size = math.sqrt(2 * total / base.k)
        for patch in ((EVERY, 0), (0, EVERY)):  # one latent alone, one image alone
            for times in (1.2, 2.5):
                alone = replace(base, still=rest, latent_patch=patch, latent_draw=7)
                yield replace(alone, mean=times * size, low=rest, high=rest)
        for draw, times in enumerate((0.3, 0.7, 1.0, 1.4, 3.0, 8.0)):
            yield replace(base, mean=times * size, low=rest, high=rest, latent_draw=20 + draw)
            yield replace(
                base,
                mean=times * size,
                low=rest,
                high=rest,
                pattern="uneven",
                latent_draw=30 + draw,
            )


def _uneven(probing: Probing, base: Probe, model: Kl, b: float) -> dict[str, float]:
    """Return how often the ends of the latents count in the KL, where not once."""
    rest = model.at_rest()
    still = replace(base, mean=0.0, low=rest, high=rest, still=rest)
    before, worth = probing.value(still), model.worth(still)
    found = {}
    for place, patch in {
        "the first image": (0, EVERY),
        "the last image": (-1, EVERY),
        "the first latent": (EVERY, 0),
        "the last latent": (EVERY, -1),
    }.items():
        moved = replace(still, mean=2.0, low=rest - 0.2, high=rest + 0.2, latent_patch=patch)
        expected = b * (model.worth(moved) - worth)
        found[place] = share(probing, probing.value(moved) - before, before, expected)
    return {place: times for place, times in found.items() if times is not None}


def _moves_at_all(probing: Probing, base: Probe) -> bool:
    """Return whether latents that differ between images move the total."""
    probes = [
        replace(base, mean=m, latent_draw=n, high=base.high + 0.3)
        for n, m in enumerate((0.5, 2.0, 6.0))
    ]
    values = probing.values(probes, finite=False)
    spread = np.ptp(values.mean(axis=1))
    return bool(spread > probing.rounding(values) + probing.chance(values))


def _of_batch(probing: Probing, base: Probe) -> str:
    """Return what depends on the latents of the batch as a whole, in words, if something does.

    Alone among images at rest, an image counts as one of them among images like itself, unless
    the images are not simply added. Where all means of an image are of one sign, images of both
    signs count as those of each sign by themselves, unless it matters how latents go together.
    """
    moved = replace(base, mean=1.5, high=base.low + 0.4, still=base.low, alike=True)
    still = replace(base, high=base.low)
    plus = replace(base, pattern="even", mean=2.0)
    minus, both = replace(plus, mean=-2.0), replace(plus, pattern="signed")
    alone = replace(moved, latent_patch=(0, EVERY))
    values = probing.values([still, moved, alone, plus, minus, both], finite=False)
    if not np.isfinite(values[:3]).all():  # as a correlation is where all images are alike
        return _DIFFER
    share = (base.rows + 1) // 2 / base.rows
    rests = (
        values[2] - values[0] - (values[1] - values[0]) / base.rows,
        values[5] - share * values[3] - (1 - share) * values[4],
    )
    for rest in rests if np.isfinite(values).all() else rests[:1]:
        slack = 1e-6 * abs(float((values[1] - values[0]).mean())) + probing.rounding(values)
        if abs(float(rest.mean())) > slack + float(chance_of(rest)):
            return _COUPLED
    return ""


def _unknown(probing: Probing, base: Probe) -> Kl:
    """Return that the term is not known, and whether it depends on the batch as a whole."""
    further = _of_batch(probing, base)
    coarse = is_coarse(probing, base)
    return Kl(KlForm.UNKNOWN, further="" if coarse else further, coarse=coarse, rest=base.low)


def is_coarse(probing: Probing, base: Probe) -> bool:
    """Return whether small means change nothing and large ones do, as in half precision."""
    still = replace(base, high=base.low)
    close = probing.values([replace(still, mean=mean) for mean in (*_CLOSE, 2.0)], finite=False)
    return bool((close[:-1] == close[0]).all() and (close[-1] != close[0]).any())
