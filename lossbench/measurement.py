"""What a trained VAE does, measured from its arrays alone: those of any library in, nats out.

The shortest way in for a model that lossbench did not train: its images, its reconstructions and
its two latent arrays tell how much each latent carries, whether the model has collapsed, and how
far it is from one that gives every example the mean.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lossbench import theory
from lossbench.arrays import to_array
from lossbench.errors import UsageError
from lossbench.loss import LIKELIHOODS, Likelihood, bits_per_dim, likelihood
from lossbench.words import Told, counted, joined, significant

if TYPE_CHECKING:
    import pandas as pd

_ONE_PERCENT = 0.01
_SMALLEST = 1e-7
_ROUNDED = 1e-6  # so little beyond a bound is rounding, as of float32
_OTHER_SCALE = 10.0  # times: x and x_hat that spread so differently are of two scales
_LARGEST_LOG_VAR = 300.0  # its exponential is a number in double precision
_NO_LOG_VARIANCE = 0.1  # a collapsed encoder's may lie a little above 0
_DECODED = {"sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "exponential": (0.0, math.inf)}
_Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Latent:
    """One latent: its place from 0, its KL in nats, and whether its mean carries a signal.

    ``signal`` is the variance of its mean over the examples, divided by the mean variance of
    its noise.
    """

    latent: int
    kl: float
    signal: float
    active: bool


@dataclass(frozen=True)
class Measurement(Told):
    """What was measured on ``n_examples``; nats per example, summed over inputs and latents.

    ``latents`` come with the largest KL first. ``reconstruction_of_nothing`` is R_0: that of a
    model that gives every example the mean of ``x``. ``thresholds`` are those of ``x``, the
    largest first, and empty where none is told. ``beta_eff`` and ``reconstruction_at_mean`` are
    None unless what they rest on was given.
    """

    reconstruction_loss: str
    n_examples: int
    d: int
    k: int
    reconstruction: float
    kl: float
    elbo: float
    bits_per_dim: float
    active_units: int
    latents: tuple[Latent, ...]
    reconstruction_of_nothing: float
    reconstruction_at_mean: float | None
    thresholds: tuple[float, ...]
    beta_eff: float | None
    notes: tuple[str, ...]

    @property
    def collapsed(self) -> bool:
        """Whether no latent is active."""
        return self.active_units == 0

    @property
    def below_nothing(self) -> float:
        """The share of R_0 by which the reconstruction is below it; negative above it."""
        nothing = self.reconstruction_of_nothing
        return (nothing - self.reconstruction) / abs(nothing) if nothing else math.nan

    @property
    def threshold(self) -> float | None:
        """t_1 of ``x``: the ``beta_eff`` at and above which the collapsed solution is stable.

        None where no threshold is told.
        """
        return self.thresholds[0] if self.thresholds else None

    @property
    def beta_eff_over_threshold(self) -> float | None:
        """``beta_eff / t_1``: at 1 and above, the collapsed solution is stable.

        None without a beta_eff, and where t_1 is 0 or not told.
        """
        if self.beta_eff is None or not self.threshold:
            return None
        return self.beta_eff / self.threshold

    @property
    def predicted_active_units(self) -> int | None:
        """The active units that theory predicts at ``beta_eff``, if it was given."""
        if self.beta_eff is None or not self.thresholds:
            return None
        return theory.predicted_active_units(np.array(self.thresholds), self.beta_eff, self.k)

    def sentences(self) -> tuple[str, ...]:
        """Return what was measured in words, what matters most first."""
        told = (self._of_latents(), self._of_reconstruction(), self._of_mean(), self._of_weight())
        return (*filter(None, told), *self.notes)

    def _of_latents(self) -> str:
        if self.collapsed:
            return (
                f"Collapsed: none of {counted(self.k, 'latent')} is active; their KL is "
                f"{_nats(self.kl)}."
            )
        carried = math.fsum(latent.kl for latent in self.latents if latent.active)
        verb = "carries" if self.active_units == 1 else "carry"
        return f"{self.active_units} of {counted(self.k, 'latent')} {verb} {_nats(carried)}."

    def _of_reconstruction(self) -> str:
        share = self.below_nothing
        side = "below" if self.reconstruction < self.reconstruction_of_nothing else "above"
        where = f"{abs(share):.0%} {side}"
        kind = likelihood(self.reconstruction_loss)
        if kind.is_density:
            gap = abs(self.reconstruction_of_nothing - self.reconstruction)
            where = f"{_nats(gap)} {side}"
        elif math.isnan(share):
            where = "beside"
        elif abs(share) < _ONE_PERCENT:
            where = "within 1% of"
        middle = "median" if kind.error_power == 1 else "mean"
        return (
            f"The reconstruction, {_nats(self.reconstruction)}, is {where} "
            f"R_0 = {_nats(self.reconstruction_of_nothing)}, that of a model that gives every "
            f"example the {middle}."
        )

    def _of_mean(self) -> str:
        if self.reconstruction_at_mean is None:
            return ""
        return f"At the mean of z, without noise, it is {_nats(self.reconstruction_at_mean)}."

    def _of_weight(self) -> str:
        ratio, expected = self.beta_eff_over_threshold, self.predicted_active_units
        if self.beta_eff is None or ratio is None or expected is None or self.threshold is None:
            return ""
        weight = (
            f"beta_eff {significant(self.beta_eff, 4)} is {significant(ratio, 3)} times "
            f"t_1 = {significant(self.threshold, 4)}"
        )
        if ratio >= 1 and not self.collapsed:
            return (
                f"{weight}: the collapsed solution is stable from t_1 on, yet this model is active "
                "(it has another optimum, is still on its way, or was trained at another weight)."
            )
        if ratio >= 1:
            return f"{weight}: from t_1 on, the collapsed solution is stable."
        if self.collapsed:
            return (
                f"{weight}: below t_1 a VAE that is trained long enough is active, so this one "
                "ended too early or learns too slowly."
            )
        return f"{weight}: theory expects at most {counted(expected, 'active latent')}."

    def facts(self) -> dict[str, object]:
        """Return the measurement as JSON has it."""
        return {
            **vars(self),
            "collapsed": self.collapsed,
            "below_nothing": self.below_nothing,
            "beta_eff_over_threshold": self.beta_eff_over_threshold,
            "predicted_active_units": self.predicted_active_units,
            "sentences": self.sentences(),
        }

    def to_frame(self) -> "pd.DataFrame":
        """Return a row for each latent, the one with the largest KL first."""
        import pandas as pd  # noqa: PLC0415 - the numbers need none

        return pd.DataFrame([vars(latent) for latent in self.latents])


def measure(
    x: Any,
    x_hat: Any,
    z_mean: Any,
    z_log_var: Any,
    *,
    reconstruction_loss: str,
    beta_eff: float | None = None,
    x_hat_at_mean: Any = None,
    sigma: Any = None,
    dispersion: float | None = None,
    groups: str | None = None,
) -> Measurement:
    """Return what a trained VAE does, from its images and what it made of them.

    ``x (n, ...)`` are n examples; ``x_hat`` of the same shape is what the model makes of them
    from a sampled z (values, not logits), ``(samples, n, ...)`` from several; ``z_mean`` and
    ``z_log_var (n, ...)`` are mean and log variance of q(z|x), as z is really drawn;
    ``x_hat_at_mean`` is what it makes of ``z_mean``. Each may be an array, a tensor of any library,
    or nested lists. ``reconstruction_loss`` is the model's, ``beta_eff`` the weight that it was
    trained at.

    ``sigma`` is that of ``gaussian`` and ``laplace`` as it was trained: a number, or an array that
    has one for each input ``(...)``, each example ``(n, 1, ...)`` or each value ``(n, ...)``.
    ``dispersion`` is r of ``negative_binomial``, ``groups`` those of ``categorical`` and ``mixed``.

    The thresholds and R_0 are those of the examples that are given. ``UsageError`` names what does
    not fit: a shape, a value that is not finite or that the likelihood cannot have.

    >>> import numpy as np
    >>> x = np.array([[0, 1], [1, 0], [0, 1]])
    >>> found = measure(
    ...     x, 0.8 * x + 0.1, [[1], [-1], [1]], [[-3], [-3], [-3]], reconstruction_loss="bce"
    ... )
    >>> found.sentences()[0]
    '1 of 1 latent carries 1.525 nats.'
    >>> round(found.below_nothing, 2)
    0.83
    """
    if not isinstance(reconstruction_loss, str):
        raise UsageError(
            "this is no kind of reconstruction",
            where="reconstruction_loss",
            expected="its name, such as 'bce'",
            received=repr(reconstruction_loss),
        )
    kind = likelihood(reconstruction_loss)
    if sigma is not None and np.shape(sigma) == () and not isinstance(sigma, str):
        sigma = to_array(sigma).item()
    kind = _with_parameters(kind, sigma=sigma, dispersion=dispersion, groups=groups)
    images = _rows("x", x)
    shape = to_array(x).shape
    samples = _like("x_hat", x_hat, shape)
    means, log_vars = _rows("z_mean", z_mean), _rows("z_log_var", z_log_var)
    expected = (len(images), means.shape[1])
    for name, rows in (("z_mean", means), ("z_log_var", log_vars)):
        if rows.shape != expected:
            raise UsageError(
                "the arrays do not fit together",
                where=name,
                expected=f"{counted(expected[0], 'example')}, as x has, of as many latents as "
                "z_mean has",
                received=f"shape {to_array(z_mean if name == 'z_mean' else z_log_var).shape}",
            )
    at_mean = None if x_hat_at_mean is None else _like("x_hat_at_mean", x_hat_at_mean, shape)
    for name, parts in (("x", [images]), ("x_hat", samples), ("x_hat_at_mean", at_mean or [])):
        _check_domain(name, parts, kind)
    is_weight = beta_eff is None or (isinstance(beta_eff, Real) and 0 <= beta_eff < math.inf)
    if not is_weight:
        raise UsageError(
            "the weight has a value that it cannot take",
            where="beta_eff",
            expected="a number of at least 0",
            received=repr(beta_eff),
        )

    if len(images) < 2:
        raise UsageError(
            "one example tells nothing of a mean",
            where="x",
            expected="at least two examples",
            received=f"shape {shape}",
        )
    if max(abs(log_vars.min()), abs(log_vars.max())) > _LARGEST_LOG_VAR:
        raise UsageError(
            "`z_log_var` has values that no log variance has",
            where="z_log_var",
            expected=f"values from -{_LARGEST_LOG_VAR:g} to {_LARGEST_LOG_VAR:g}",
            received=f"{significant(log_vars.min(), 4)} to {significant(log_vars.max(), 4)}",
        )
    latents = latents_of(means, log_vars)
    using = _Measure(kind, _sigma_rows(sigma, shape) if _is_of_sigma(kind) else None)
    reconstruction = using.mean(images, samples)
    kl = math.fsum(latent.kl for latent in latents)
    d = images.shape[1]
    elbo = kind.elbo(reconstruction, kl, d)
    measured = Measurement(
        reconstruction_loss=kind.name,
        n_examples=len(images),
        d=d,
        k=means.shape[1],
        reconstruction=reconstruction,
        kl=kl,
        elbo=elbo,
        bits_per_dim=bits_per_dim(elbo, d),
        active_units=sum(latent.active for latent in latents),
        latents=latents,
        reconstruction_of_nothing=using.of_nothing(images),
        reconstruction_at_mean=using.mean(images, at_mean) if at_mean else None,
        thresholds=using.thresholds(images),
        beta_eff=None if beta_eff is None else float(beta_eff),
        notes=(*using.notes(images), *_notes(images, samples, log_vars, kind)),
    )
    return replace(measured, notes=(*_scales(measured, images, samples), *measured.notes))


def latents_of(means: _Rows, log_vars: _Rows) -> tuple[Latent, ...]:
    """Return what each latent carries, of mean and log variance ``(n, k)`` of q(z|x).

    The largest KL comes first.
    """
    variances = np.exp(log_vars)
    divergences = 0.5 * (means**2 + variances - 1 - log_vars).mean(axis=0)
    signal, noise = means.var(axis=0), variances.mean(axis=0)
    active = theory.is_active(signal, noise)
    return tuple(
        Latent(int(j), float(divergences[j]), float(signal[j] / noise[j]), bool(active[j]))
        for j in np.argsort(-divergences, kind="stable")
    )


def _with_parameters(kind: Likelihood, **given: Any) -> Likelihood:
    """Return the likelihood with its parameters; ``UsageError`` for one that lacks or is not its.

    ``sigma`` of ``gaussian`` and ``laplace`` stays 1: the arrays are divided by it.
    """
    for name in (name for name, value in given.items() if value is not None):
        if name not in kind.parameters:
            takers = [each.name for each in LIKELIHOODS.values() if name in each.parameters]
            raise UsageError(
                f"{kind.name} has no {name}",
                where=name,
                expected=f"none, or a reconstruction_loss that has one: {joined(takers, 'or')}",
                received=_shown(given[name]),
            )
    needed = ("groups",) if "groups" in kind.parameters else ("sigma", "dispersion")
    for name in needed:
        if name in kind.parameters and given[name] is None:
            by_name = {
                "groups": "the columns of each group, such as 4 or 1-3+4-8",
                "dispersion": "the number that the model was trained with or has learned",
                "sigma": "the number that the model was trained with or has learned, or an array",
            }
            errors = "mean(|x - x_hat|)" if kind.error_power == 1 else "sqrt(mean((x - x_hat)**2))"
            raise UsageError(
                f"{kind.name} needs its {name}",
                where=name,
                expected=by_name[name],
                received="none",
                remedy=f"{errors} is one that is computed from the errors"
                if name == "sigma"
                else "",
            )
    if _is_of_sigma(kind):
        return kind
    for name in ("sigma", "dispersion"):
        value = given[name]
        if value is not None and not (isinstance(value, Real) and 0 < float(value) < math.inf):
            raise UsageError(
                f"the {name} of {kind.name} has a value that it cannot take",
                where=name,
                expected="a number above 0",
                received=_shown(value),
            )
    return replace(kind, **{name: value for name, value in given.items() if value is not None})


def _is_of_sigma(kind: Likelihood) -> bool:
    """Tell whether R is one of errors divided by sigma."""
    return bool(kind.error_power) and "sigma" in kind.parameters


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str | Real) else f"shape {np.shape(value)}"


@dataclass(frozen=True)
class _Measure:
    """A likelihood, and what the arrays are divided by where it has a sigma: 1 elsewhere.

    ``sigma (n, d)`` or ``(1, d)``; a density of x/sigma is one of x, and ln sigma more.
    """

    kind: Likelihood
    sigma: _Rows | None = None

    @property
    def is_of_examples(self) -> bool:
        """Whether sigma depends on the example."""
        return self.sigma is not None and len(self.sigma) > 1

    def mean(self, images: _Rows, decoded: list[_Rows]) -> float:
        """Return R, the mean over examples and over the samples of ``decoded``."""
        return float(np.mean([self._of_each(images, one).mean() for one in decoded]))

    def _of_each(self, images: _Rows, decoded: _Rows) -> _Rows:
        if self.sigma is None:
            return self.kind.reconstruction(images, decoded)
        scaled = self.kind.reconstruction(images / self.sigma, decoded / self.sigma)
        each: _Rows = scaled + np.log(self.sigma).sum(axis=1)
        return each

    def of_nothing(self, images: _Rows) -> float:
        """Return R_0: where sigma depends on the example, with the one that suits each input."""
        if self.is_of_examples:
            return replace(self, sigma=self._suited(images)).of_nothing(images)
        if self.sigma is None:
            return theory.reconstruction_of_nothing(images, images, self.kind)
        scaled = images / self.sigma
        nothing = theory.reconstruction_of_nothing(scaled, scaled, self.kind)
        return nothing + float(np.log(self.sigma).sum())

    def thresholds(self, images: _Rows) -> tuple[float, ...]:
        """Return those of the images; none where sigma depends on the example."""
        if self.is_of_examples:
            return ()
        scaled = images if self.sigma is None else images / self.sigma
        return tuple(map(float, theory.thresholds(theory.moments(scaled), self.kind)))

    def _suited(self, images: _Rows) -> _Rows:
        """Return the sigma ``(1, d)`` of each input that suits a model that learns nothing."""
        errors = abs(images - self.kind.nothing(images))
        power = self.kind.error_power
        suited: _Rows = (errors**power).mean(axis=0, keepdims=True) ** (1 / power)
        if not suited.all():
            place = int((suited[0] == 0).argmax()) + 1
            raise UsageError(
                "an input that never varies has no sigma that suits it best",
                where="sigma",
                expected="inputs that vary, where each example has a sigma of its own",
                received=f"input {place} never varies",
                remedy="leave it out of x, x_hat and sigma",
            )
        return suited

    def notes(self, images: _Rows) -> Iterator[str]:
        """Yield what limits R_0 and the thresholds."""
        if self.kind.no_threshold:
            yield f"No threshold is told: {self.kind.no_threshold}."
        if self.is_of_examples:
            if not self.kind.no_threshold:
                yield "No threshold is told: sigma depends on the example."
            yield "R_0 is told with the sigma of each input that suits it best."
        elif self.sigma is not None and np.ptp(self.sigma) == 0 and np.ptp(images, axis=0).any():
            power = self.kind.error_power
            spread = (abs(images - self.kind.nothing(images)) ** power).mean() ** (1 / power)
            nothing = replace(self, sigma=np.full_like(self.sigma, spread))
            found = nothing.thresholds(images)
            threshold = f" and t_1 = {significant(found[0], 4)}" if found else ""
            yield (
                "If sigma was learned: a model that learns nothing has a sigma of "
                f"{significant(float(spread), 4)}, and with it "
                f"R_0 = {_nats(nothing.of_nothing(images))}{threshold}."
            )


def _sigma_rows(sigma: Any, shape: tuple[int, ...]) -> _Rows:
    """Return sigma as ``(n, d)``, or ``(1, d)`` where all examples share it; ``UsageError``."""
    try:
        array = to_array(sigma).astype(np.float64)
        spread = np.broadcast_to(array, shape)
    except (TypeError, ValueError):
        inputs = ", ".join(map(str, shape[1:]))
        ones = ", ".join("1" for _ in shape[1:])
        raise UsageError(
            "sigma does not fit x",
            where="sigma",
            expected=f"a number, or shape ({inputs}) for each input, ({shape[0]}, {ones}) for "
            f"each example, {shape} for each value",
            received=_shown(sigma),
        ) from None
    if not (np.isfinite(array).all() and (array > 0).all()):
        raise UsageError(
            "a sigma has a value that it cannot take",
            where="sigma",
            expected="finite numbers above 0; exp of it, if this is a logarithm",
            received=f"{array.min():.4g} to {array.max():.4g}",
        )
    rows: _Rows = spread.reshape(shape[0], -1)
    is_of_examples = array.ndim == len(shape) and len(array) > 1
    return rows if is_of_examples else rows[:1]


def _rows(name: str, value: Any) -> _Rows:
    """Return one row of numbers for each example; ``UsageError`` says why there is none."""
    try:
        array = to_array(value).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"`{name}` is no array of numbers",
            where=name,
            expected="an array, a tensor or lists of numbers, a row for each example",
            received=str(error),
        ) from None
    if array.ndim < 2 or not array.size:
        raise UsageError(
            f"`{name}` has no rows of numbers",
            where=name,
            expected="shape (n, ...): at least one example of at least one number",
            received=f"shape {array.shape}",
        )
    finite = np.isfinite(array)
    if not finite.all():
        place = tuple(map(int, np.argwhere(~finite)[0]))
        raise UsageError(
            f"`{name}` has values that are not finite",
            where=name,
            expected="finite numbers",
            received=f"{array[place]} at {list(place)}, the first of {(~finite).sum()}",
        )
    return array.reshape(len(array), -1)


def _like(name: str, value: Any, shape: tuple[int, ...]) -> list[_Rows]:
    """Return one or several decoded arrays, each as rows; ``UsageError`` unless they are like x."""
    _rows(name, value)  # or it says why there is no array
    array = to_array(value)
    if array.shape == shape:
        return [_rows(name, array)]
    if array.shape[1:] == shape and len(array):
        return [_rows(name, one) for one in array]
    raise UsageError(
        "the arrays do not fit together",
        where=name,
        expected=f"shape {shape}, as x has, or (samples, {', '.join(map(str, shape))})",
        received=f"shape {array.shape}",
    )


def _check_domain(name: str, arrays: list[_Rows], kind: Likelihood) -> None:
    """Raise ``UsageError`` for values that a likelihood cannot have."""
    is_asked = kind.counts or kind.output == "parts"
    if name == "x" and is_asked and (misfit := kind.misfit(arrays[0])) is not None:
        if misfit.row is None:
            raise UsageError(
                f"these groups do not fit `x`, of {counted(arrays[0].shape[1], 'column')}",
                where="groups",
                expected="a group for every column",
                received=misfit.received,
            )
        raise UsageError(
            f"`x` has values that {kind.name} cannot have",
            where="x",
            expected=misfit.takes or kind.takes,
            received=f"{misfit.received} at [{misfit.row}, {misfit.column}]",
            remedy="name another reconstruction_loss",
        )
    low, high = kind.domain if name == "x" else _DECODED.get(kind.output, (-math.inf, math.inf))
    for array in arrays:
        least, most = array.min(), array.max()
        if least < low or most > high:
            if max(low - least, most - high) <= _ROUNDED:
                remedy = f"numpy.clip({name}, {low:g}, {high:g}): so little beyond is rounding"
            elif name == "x":
                remedy = "scale the data, or name another reconstruction_loss"
            else:
                remedy = f"{kind.output}({name}), if these are logits"
            raise UsageError(
                f"`{name}` has values that {kind.name} cannot have",
                where=name,
                expected=f"values from {low:g} to {high:g}",
                received=f"{_beyond(least, low)} to {_beyond(most, high)}",
                remedy=remedy,
            )


def _beyond(value: float, bound: float) -> str:
    """Return a value to four digits, or to as many as tell it from a bound that it is not."""
    digits = (4, 6, 8, 10, 12, 15, 17)
    shown = (significant(value, n) for n in digits)
    return next(text for text in shown if value == bound or float(text) != bound)


def _notes(images: _Rows, samples: list[_Rows], log_vars: _Rows, kind: Likelihood) -> Iterator[str]:
    """Yield what a reader of the numbers should know."""
    n, d = images.shape
    if log_vars.min() > 0 and log_vars.max() > _NO_LOG_VARIANCE:
        yield (
            f"Every z_log_var is above 0 ({significant(log_vars.min(), 3)} to "
            f"{significant(log_vars.max(), 3)}): more noise than the prior has, as hardly any "
            "trained model has it. If it is a standard deviation, pass 2*log of it; if a variance, "
            "its log."
        )
    if n <= d:
        yield (
            f"{counted(n, 'example')} span at most {n - 1} of {d} directions: t_1 is theirs, and "
            "hardly that of the data. Give more than d examples."
        )
    if kind.output == "sigmoid":
        if kind.short_caution and ((images > 0) & (images < 1)).any():
            yield kind.short_caution
        n_certain = sum(
            int(np.sum((one <= _SMALLEST) & (images > 0) | (one >= 1 - _SMALLEST) & (images < 1)))
            for one in samples
        )
        if n_certain:
            yield (
                f"{counted(n_certain, 'value')} of x_hat "
                f"{'is' if n_certain == 1 else 'are'} certain of what x is not: such a "
                "probability counts as 1e-7, as in Keras. "
                + (
                    "Are x and x_hat swapped? If not, decode"
                    if all(_n_certain(one) > _n_certain(images) for one in samples)
                    else "Decode"
                )
                + " in float32 or float64."
            )


def _n_certain(rows: _Rows) -> int:
    """Return how many values are 0 or 1, as data's are and a decoder's are not."""
    return int(np.sum((rows <= _SMALLEST) | (rows >= 1 - _SMALLEST)))


def _scales(measured: Measurement, images: _Rows, samples: list[_Rows]) -> Iterator[str]:
    """Yield that x and x_hat are of two scales, where that may be why R is above R_0."""
    decoded = np.stack(samples)
    ratio = np.abs(decoded).max() / max(np.abs(images).max(), np.finfo(float).tiny)
    if measured.below_nothing < -_ONE_PERCENT and not 1 / _OTHER_SCALE < ratio < _OTHER_SCALE:
        x, x_hat = (
            f"{significant(rows.min(), 3)} to {significant(rows.max(), 3)}"
            for rows in (images, decoded)
        )
        yield f"x goes from {x}, x_hat from {x_hat}: bring both to one scale."


def _nats(number: float) -> str:
    return f"{significant(number, 4)} nats"
