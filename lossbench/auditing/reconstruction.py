"""The reconstruction term: the kinds that are known, and which of them a loss has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lossbench.auditing.probe import EVERY, Floats, Probe, images
from lossbench.auditing.probing import UNEVEN, Probing, fit, share
from lossbench.loss import LIKELIHOODS, Likelihood

_LEVELS = (0.12, 0.27, 0.42, 0.58, 0.73, 0.88)
_WIDE_LEVELS = (-3.0, -0.8, 1.7, 4.0)
_ERRORS = (0.004, 0.05, 0.4, 1.2, 2.5, 30.0, 60.0)
_NEAR = 4.0
_EXACT = 1e-5  # of the spread
_AROUND = (0.1, 0.4, 0.7, 1.0, 1.3, 1.6, 2.0)  # of the threshold of a Huber loss
_SMOOTHING = (0.0, 1.0, 1e-3, 1e-6)
_ENDS = {
    "the first image": (0, EVERY),
    "the last image": (-1, EVERY),
    "the first pixel": (EVERY, 0),
    "the last pixel": (EVERY, -1),
}
IMAGE_ENDS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("x of 0 and 1", {"x": "binary"}),
    (
        "x_hat of 0 and 1, which a sigmoid reaches in float32,",
        {"x": "binary", "x_hat": "saturated"},
    ),
    ("x_hat of 1 where x is 0, and the reverse,", {"x": "binary", "x_hat": "opposite"}),
)
_BCE, _MSE = LIKELIHOODS["bce"], LIKELIHOODS["mse"]
Term = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True)
class Kind:
    """A kind of reconstruction, in ``words``.

    ``term`` maps x and x_hat to what each image and input adds to R; for a kind that is no sum
    over the inputs, ``whole`` maps the batch to one number. ``real`` is whether x_hat may lie
    outside (0, 1); ``quiet`` is the x and x_hat at which it is least.
    ``moving`` says for ``whole`` how the weight a of the squared errors follows from its factor c:
    a = c/(d*moving). ``likelihood`` is whether minus R is a log-likelihood up to a constant;
    ``trained`` is the one that a sweep trains, if it does. ``ends`` are ordinary inputs at which
    a loss may not be finite: their words, and how a probe has them.
    """

    name: str
    words: str
    term: Term | None = None
    whole: Callable[[Floats, Floats], float] | None = None
    real: bool = True
    quiet: tuple[str, str] = ("grey", "equal")
    moving: str = ""
    likelihood: bool = True
    trained: Likelihood | None = None
    ends: tuple[tuple[str, Mapping[str, Any]], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names that the catalogue has for it."""
        return self.trained.names if self.trained else (self.name,)

    def worth(self, probe: Probe) -> float:
        """Return R of a probe: summed over the inputs, averaged over the images."""
        x, x_hat = images(probe)
        if self.whole is not None:
            return self.whole(x, x_hat)
        assert self.term is not None  # noqa: S101 - a kind has one of the two
        shape = (probe.rows, *probe.shape)
        return float(self.term(x.reshape(shape), x_hat.reshape(shape)).sum() / probe.rows)


def _bce(x: Floats, p: Floats) -> Floats:
    return np.asarray(-(x * np.log(p) + (1 - x) * np.log1p(-p)))


def _bce_logits(x: Floats, logit: Floats) -> Floats:
    return np.asarray(np.logaddexp(0, logit) - x * logit)


def _log_normaliser(p: Floats) -> Floats:
    """Return ln C(p) of the continuous Bernoulli; its series around 1/2."""
    near = np.abs(p - 0.5) < 1e-3
    far = np.where(near, 0.25, p)
    exact = np.log(2 * np.arctanh(1 - 2 * far) / (1 - 2 * far))
    return np.asarray(np.where(near, np.log(2) + 4 / 3 * (p - 0.5) ** 2, exact))


def _log_normaliser_of_logit(logit: Floats) -> Floats:
    """Return the same of a logit y, ``ln(y / tanh(y/2))``."""
    y = np.maximum(np.abs(logit), 1e-4)
    return np.asarray(np.log(y / np.tanh(y / 2)))


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _log_cosh(x: Floats, x_hat: Floats) -> Floats:
    e = np.abs(x - x_hat)
    return np.asarray(e + np.log1p(np.exp(-2 * e)) - np.log(2))


def _of_mse(
    function: Callable[[Floats], Floats], *, each: bool
) -> Callable[[Floats, Floats], float]:
    """Return a function of the mean squared error, of each image or of the batch."""
    return lambda x, x_hat: float(
        np.mean(function(((x - x_hat) ** 2).mean(axis=1 if each else None)))
    )


KINDS = (
    Kind(
        *(_BCE.name, f"{_BCE.name}, {_BCE.words} of probabilities", _bce),
        real=False,
        quiet=("binary", "near"),
        trained=_BCE,
        ends=IMAGE_ENDS,
    ),
    Kind(
        *(_MSE.name, f"{_MSE.name}, {_MSE.words}", lambda x, y: (x - y) ** 2),
        trained=_MSE,
        ends=IMAGE_ENDS,
    ),
    Kind(
        *("bce_logits", f"{_BCE.name}, {_BCE.words} of logits", _bce_logits),
        quiet=("binary", "near_logits"),
        trained=_BCE,
        ends=(("logits of 100", {"x": "binary", "x_hat": "far"}),),
    ),
    Kind("l1", "l1, absolute error", lambda x, y: np.abs(x - y), ends=IMAGE_ENDS),
    Kind(
        *("categorical", "categorical, -x*log(x_hat) alone", lambda x, y: -x * np.log(y)),
        real=False,
        quiet=("binary", "near"),
        ends=IMAGE_ENDS,
    ),
    Kind(
        *("bce_swapped", "bce with its arguments swapped", lambda x, y: _bce(y, x)),
        likelihood=False,
    ),
    Kind(
        "multinomial",
        "multinomial log-likelihood of logits (a softmax over the inputs)",
        lambda x, y: -x * _log_softmax(y),
    ),
    Kind(
        "continuous_bernoulli",
        "continuous Bernoulli, of probabilities",
        lambda x, y: _bce(x, y) - _log_normaliser(y),
        real=False,
    ),
    Kind(
        "continuous_bernoulli_logits",
        "continuous Bernoulli, of logits",
        lambda x, y: _bce_logits(x, y) - _log_normaliser_of_logit(y),
    ),
    Kind("poisson", "Poisson, of rates", lambda x, y: y - x * np.log(y), real=False),
    Kind("poisson_log", "Poisson, of log rates", lambda x, y: np.exp(y) - x * y),
    Kind("log_cosh", "log-cosh of the error", _log_cosh),
    Kind(
        "mse_centred",
        "squared error of targets scaled to [-1, 1], 2*x - 1",
        lambda x, y: (2 * x - 1 - y) ** 2,
    ),
    Kind(
        "optimal_sigma",
        "optimal-sigma decoder: log of the batch's mean squared error",
        whole=_of_mse(np.log, each=False),
        moving="mse",
    ),
    Kind(
        "optimal_sigma_of_image",
        "optimal-sigma decoder: log of each image's mean squared error",
        whole=_of_mse(np.log, each=True),
        moving="mse",
    ),
    Kind(
        "rmse",
        "root of the batch's mean squared error",
        whole=_of_mse(np.sqrt, each=False),
        moving="2*rmse",
        likelihood=False,
    ),
    Kind(
        "rmse_of_image",
        "root of each image's mean squared error",
        whole=_of_mse(np.sqrt, each=True),
        moving="2*rmse",
        likelihood=False,
    ),
)
_BY_NAME = {kind.name: kind for kind in KINDS}
_USUAL = ("bce", "mse", "l1")
_FAR_TOO = ("mse", "l1", "mse_centred", "huber", "log_cosh")  # at errors of 30 and 60 as well


def kind_named(name: str | None) -> Kind | None:
    """Return the kind of that name, if there is one that needs no numbers."""
    return _BY_NAME.get(name or "")


def huber(threshold: float) -> Kind:
    """Return the Huber loss: half the squared error below ``threshold``, linear above."""

    def term(x: Floats, x_hat: Floats) -> Floats:
        e = np.abs(x - x_hat)
        return np.where(e <= threshold, e**2 / 2, threshold * (e - threshold / 2))

    return Kind("huber", f"Huber with threshold {threshold:.4g}", term)


def _dice(smooth: float, *, squared: bool, each: bool) -> Kind:
    def whole(x: Floats, x_hat: Floats) -> float:
        axis = 1 if each else None
        power = 2 if squared else 1
        above = 2 * (x * x_hat).sum(axis) + smooth
        return float(
            np.mean(1 - above / ((x**power).sum(axis) + (x_hat**power).sum(axis) + smooth))
        )

    return Kind("dice", "dice loss, one minus twice the overlap", whole=whole, likelihood=False)


_DICE = tuple(
    _dice(smooth, squared=squared, each=each)
    for smooth in _SMOOTHING
    for squared in (False, True)
    for each in (False, True)
)


@dataclass(frozen=True)
class Reconstruction:
    """The reconstruction term: its kind, or ``None`` with the nearest one and the misfit.

    ``present`` is whether the loss feels x_hat at all; ``mixture`` holds the weights where it
    is a sum of kinds; ``uneven`` says which images or pixels do not count like the others;
    ``inside`` is whether the kind holds for x_hat in (0, 1) alone, or near it, though others are
    taken;
    ``through`` is whether x is held against something that the loss makes of x_hat.
    """

    kind: Kind | None
    nearest: Kind
    misfit: float
    present: bool
    mixture: Mapping[str, float]
    uneven: str = ""
    inside: bool = False
    through: bool = False

    def quiet(self, base: Probe) -> Probe:
        """Return a probe with as little reconstruction error as the kind allows.

        A kind that is not known may be anything there, infinite too: it stays where it was.
        """
        if self.kind is None:
            return base
        x, x_hat = self.kind.quiet
        if self.kind.moving:  # the log of no error is infinite
            return replace(base, x_hat="off", level=0.1)
        return replace(base, x=x, x_hat=x_hat)  # type: ignore[arg-type]


def read_reconstruction(probing: Probing, base: Probe) -> Reconstruction:
    """Return the kind of reconstruction; ``base`` has its latents at rest."""
    unit = [replace(base, level=level, image_draw=n) for n, level in enumerate(_LEVELS)]
    unit += [
        replace(base, level=level, image_draw=9 + n, patch=(EVERY, n - 1))
        for n, level in enumerate((0.2, 0.65))
    ]
    values = probing.values(unit)
    moved = values - values[0]
    if np.abs(moved.mean(axis=1)).max() <= probing.rounding(values) + probing.chance(moved):
        return Reconstruction(None, _BY_NAME["bce"], 0.0, present=False, mixture={})
    wide = [replace(base, level=level, image_draw=20 + n) for n, level in enumerate(_WIDE_LEVELS)]
    wide += [
        replace(base, x_hat="off", level=error, image_draw=30 + n)
        for n, error in enumerate(_ERRORS)
    ]
    beyond = probing.values(wide, finite=False)
    taken = bool(np.isfinite(beyond).all())
    near = [n for n, probe in enumerate(wide) if probe.level <= _NEAR]  # far logits saturate
    every, all_values = unit, values
    if taken:
        every, all_values = [*unit, *(wide[n] for n in near)], np.vstack([values, beyond[near]])
    for kind in (*KINDS, *_huber_of(probing, wide, beyond, taken=taken), *_DICE):
        probes, got = (every, all_values) if kind.real else (unit, values)
        if _fits(probing, kind, probes, got):
            known = _known(probing, base, kind, unit, values)
            far = taken and kind.name in _FAR_TOO
            if far and not _fits(probing, kind, [*unit, *wide], np.vstack([values, beyond])):
                return replace(known, inside=True)
            return known
    for kind in KINDS:  # of small errors alone other kinds look like the log-cosh
        if kind.real and kind.name != "log_cosh" and _fits(probing, kind, unit, values):
            return replace(_known(probing, base, kind, unit, values), inside=True)
    if _is_squared_in_x(probing, base):
        kind = _BY_NAME["mse"]
        return Reconstruction(kind, kind, 0.0, present=True, mixture={}, through=True)
    return _unknown(probing, base, unit, values)


_STEPS = (0.0, 0.04, -0.07, 0.11, -0.15)


def _is_squared_in_x(probing: Probing, base: Probe) -> bool:
    """Return whether the loss goes with the square of x, each input by itself and alike.

    Along any directions of plus and minus one the second difference is then one and the same.
    """
    squares = []
    for draw in (50, 51, 52):
        probes = [replace(base, x_step=step, image_draw=draw) for step in _STEPS]
        values = probing.values(probes, finite=False)
        if not np.isfinite(values).all():
            return False
        steps = np.array(_STEPS)[:, None]
        found = fit(probing, np.column_stack([steps**2, steps]), values)
        if not found.holds:
            return False
        squares.append(float(found.coefficients[0].mean()))
    return min(squares) > 0 and np.ptp(squares) < 1e-3 * min(squares)


def weight(probing: Probing, probe: Probe, term: Reconstruction) -> Floats:
    """Return a, the weight of R, at the sizes of a probe, one number a seed."""
    kind = term.kind or term.nearest
    if term.through:
        pairs = [replace(probe, x_step=step, image_draw=50) for step in (0.0, 0.1, -0.1)]
        still, up, down = (probing.value(p) for p in pairs)
        return (up + down - 2 * still) / (2 * 0.1**2 * probe.d)
    low, high = replace(probe, level=0.2), replace(probe, level=0.65)
    if abs(kind.worth(high) - kind.worth(low)) < 1e-6 * abs(kind.worth(low)):
        high = replace(low, patch=(EVERY, 0))
    found = (probing.value(high) - probing.value(low)) / (kind.worth(high) - kind.worth(low))
    return found if term.present else found * 0


def _features(kinds: tuple[Kind, ...], probes: list[Probe]) -> Floats:
    with np.errstate(all="ignore"):
        return np.array([[kind.worth(probe) for kind in kinds] for probe in probes])


def _fits(probing: Probing, kind: Kind, probes: list[Probe], values: Floats) -> bool:
    features = _features((kind,), probes)
    if not np.isfinite(features).all() or not np.ptp(features):
        return False
    found = fit(probing, features, values)
    if not found.holds or not found.coefficients.mean():
        return False
    near = features[:, 0] < 30 * np.abs(features[:8, 0]).max()  # large ones drown the others
    return bool(fit(probing, features[near], values[near]).holds)


def _huber_of(
    probing: Probing, wide: list[Probe], values: Floats, *, taken: bool
) -> tuple[Kind, ...]:
    """Return the Huber loss that the two largest errors speak of, if they lie on a line."""
    if not taken:
        return ()
    at = {
        probe.level: value.mean()
        for probe, value in zip(wide, values, strict=True)
        if probe.x_hat == "off"
    }
    slope = (at[60.0] - at[30.0]) / 30
    least = float(probing.value(replace(wide[0], x_hat="equal"), finite=False).mean())
    if not slope or not np.isfinite(least):
        return ()
    threshold = float(2 * (slope * 60 - (at[60.0] - least)) / slope)
    if not 1e-3 < threshold < 30:
        return ()
    kind = huber(float(f"{threshold:.4g}"))
    near = [replace(wide[0], x_hat="off", level=t * threshold) for t in _AROUND]  # it has an edge
    return (kind,) if _fits(probing, kind, near, probing.values(near, finite=False)) else ()


def _known(
    probing: Probing, base: Probe, kind: Kind, unit: list[Probe], values: Floats
) -> Reconstruction:
    found = fit(probing, _features((kind,), unit), values)
    uneven = ""
    if kind.term is not None:
        shares = _uneven(probing, base, kind, float(found.coefficients.mean()))
        uneven = told_uneven(shares, "reconstruction")
    return Reconstruction(kind, kind, found.misfit, present=True, mixture={}, uneven=uneven)


def _unknown(probing: Probing, base: Probe, unit: list[Probe], values: Floats) -> Reconstruction:
    fits = {
        kind.name: fit(probing, _features((kind,), unit), values)
        for kind in KINDS
        if kind.term is not None
    }
    nearest = _BY_NAME[min(fits, key=lambda name: fits[name].misfit)]
    best = fits[nearest.name]
    shares = _uneven(probing, base, nearest, float(best.coefficients.mean()))
    uneven = told_uneven(shares, "reconstruction", unfelt=True)
    kinds = tuple(_BY_NAME[name] for name in _USUAL)
    mixed = fit(probing, _features(kinds, unit), values)
    mixture = {}
    exact = mixed.misfit < _EXACT or probing.stochastic  # three numbers fit what is near to them
    if mixed.holds and exact and not uneven:
        weights = mixed.coefficients.mean(axis=1)
        largest = np.abs(weights).max()
        mixture = {
            name: float(w)
            for name, w in zip(_USUAL, weights, strict=True)
            if abs(w) > 1e-3 * largest
        }
    return Reconstruction(None, nearest, best.misfit, present=True, mixture=mixture, uneven=uneven)


def _uneven(probing: Probing, base: Probe, kind: Kind, a: float) -> dict[str, float]:
    """Return how often the ends of the images count in the reconstruction, where not once."""
    plain = replace(base, level=0.25)
    before, r = probing.value(plain), kind.worth(plain)
    found = {}
    for place, patch in _ENDS.items():
        moved = replace(plain, patch=patch)
        expected = a * (kind.worth(moved) - r)
        added = probing.value(moved, finite=False) - before
        if np.isfinite(added).all():
            found[place] = share(probing, added, before, expected)
    return {place: times for place, times in found.items() if times is not None}


def told_uneven(shares: Mapping[str, float], term: str, *, unfelt: bool = False) -> str:
    """Return what is uneven, in words; ``unfelt`` tells of what counts nothing alone."""
    for place, times in sorted(shares.items(), key=lambda each: abs(each[1])):
        if abs(times) < (1e-6 if unfelt else UNEVEN):
            return f"{place} counts nothing in the {term}"
        if not unfelt:
            return f"{place} counts {times:.3g} times in the {term}"
    return ""
