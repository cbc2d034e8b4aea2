"""Likelihoods: what each kind of reconstruction says of the data, one class a kind.

R is the reconstruction term summed over the d inputs, K the KL summed over the latents, both
in nats per image. Whatever objective was trained, a likelihood says what R and K are worth: its
ELBO. A new likelihood is a class in this file and a term in ``nn/terms.py``. Its parameters are the
fields of the class, named as the settings are.
"""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, final, get_args

from lossbench.errors import UsageError, did_you_mean
from lossbench.words import joined

if TYPE_CHECKING:  # the algebra is printed without NumPy, which takes as long to load as the rest
    import numpy as np
    from numpy.typing import NDArray

_SMALLEST = 1e-7  # that a probability of 0 counts for, as in Keras
_LEAST = 1e-300  # that a rate of 0 counts for, or a share
_ROWS_A_SUM = 4096
_OF_GROUPS = ("bce", "mse", "gaussian", "poisson", "negative_binomial", "categorical")
_MIXED_EXAMPLE = "gaussian:1-3+categorical:4-8+poisson:9"
_LOG_2_PI = math.log(2 * math.pi)
Scale = Literal["auto", "none", "unit", "standard", "max"]
Learned = Literal["learned", "learned_per_input", "optimal"]
Sigma = float | Learned
Output = Literal["values", "sigmoid", "exponential", "softmax", "parts"]


class Parameters(Protocol):
    """The parameters of every likelihood, as a run has them."""

    @property
    def sigma(self) -> "Sigma":
        """The standard deviation of ``gaussian``, the scale of ``laplace``."""

    @property
    def log_sigma_floor(self) -> float:
        """What the logarithm of a learned sigma stays above."""

    @property
    def dispersion(self) -> float | Literal["learned"]:
        """R of ``negative_binomial``, whose variance is ``m + m^2/r``."""

    @property
    def groups(self) -> str:
        """The columns of each choice of ``categorical``, and of each part of ``mixed``."""


@dataclass(frozen=True)
class Misfit:
    """The first value that a likelihood cannot have; ``row`` and ``column`` count from 0.

    Both are None where the likelihood's own parameter is to blame. ``takes`` says what is taken
    there, where it is not what the likelihood takes everywhere.
    """

    row: int | None
    column: int | None
    received: str
    takes: str = ""


@dataclass(frozen=True)
class Likelihood(ABC):
    """One kind of reconstruction: p(x|z), of which R is the negative logarithm.

    * ``name`` is what a run calls it, ``words`` what people do; ``also`` are further names that
      the catalogue has for the same term, and ``term`` is what one input adds to R.
    * ``published`` are names that the catalogue has for terms of which it is the likelihood.
    * ``is_seeds`` is whether the seed question writes it, which every scaling is trained with.
    * ``domain`` holds the least and the largest value that data may have; ``counts`` are whole
      numbers, too. ``takes`` says so in words.
    * ``output`` is what turns the decoder's last numbers into x_hat: "values" are what the
      setting ``output`` says.
    * ``encodes_logarithm`` is whether the encoder sees ln(1 + x): from counts as they are, the
      first steps would be thousands of nats wide.
    * ``assumes`` is the decoder's parameter that is not trained, if there is one.
    * ``elbos`` are the columns that hold an ELBO of its own, and what each rests on.
    * ``caution`` says, at length and in short, what its ELBO cannot be compared with.
    * ``has_linear_optimum`` is whether ``theory.linear_optimum`` is that of a linear model.
    * ``is_density`` is whether R is that of a density, in a unit: it may be negative.
    * ``no_threshold`` says why no threshold is told; it is empty where there are some.
    * ``error_power`` is p where R is ``error_factor`` times the sum of ``|x - x_hat|^p``, and a
      constant; it is 0 where R is anything else.
    """

    name: ClassVar[str]
    words: ClassVar[str]
    term: ClassVar[str]
    also: ClassVar[tuple[str, ...]] = ()
    published: ClassVar[tuple[str, ...]] = ()
    is_seeds: ClassVar[bool] = False
    domain: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    counts: ClassVar[bool] = False
    takes: ClassVar[str] = "any numbers"
    output: ClassVar[Output] = "values"
    encodes_logarithm: ClassVar[bool] = False
    caution: ClassVar[str] = ""
    short_caution: ClassVar[str] = ""
    assumes: ClassVar[str] = ""
    elbos: ClassVar[Mapping[str, str]] = MappingProxyType({"elbo": ""})
    has_linear_optimum: ClassVar[bool] = False
    is_density: ClassVar[bool] = False
    no_threshold: ClassVar[str] = ""
    learnable: ClassVar[tuple[Learned, ...]] = ()  # its ways to learn sigma
    error_power: ClassVar[int] = 0

    @property
    def error_factor(self) -> Fraction:
        """What the sum of the errors is multiplied by, exactly."""
        return Fraction(1)

    @property
    def learns(self) -> Learned | Literal[""]:
        """How a parameter is learned; empty where all are given, or there is none."""
        return ""

    def of(self, run: Parameters) -> Self:
        """Return the likelihood with the parameters that a run gives it."""
        return replace(self, **{name: getattr(run, name) for name in self.parameters})

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of its parameters: those of the settings that it takes."""
        return tuple(each.name for each in fields(self))

    @property
    def own_settings(self) -> tuple[str, ...]:
        """The settings that mean something for it, and not for every other."""
        has_values = self.output in ("values", "parts")
        return (*self.parameters, *(("output",) if has_values else ()))

    def scale(self, asked: Scale) -> Scale:
        """Return what is done to the data's numbers where ``asked``: counts stay as they are."""
        as_they_are = self.counts or self.output == "parts"
        return "none" if as_they_are and asked == "auto" else asked

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that the catalogue has for the term."""
        return (self.name, *self.also)

    @abstractmethod
    def reconstruction(
        self, x: "NDArray[np.float64]", x_hat: "NDArray[np.float64]"
    ) -> "NDArray[np.float64]":
        """Return R of every example ``(n,)``: of ``x (n, d)``, decoded as ``x_hat (n, d)``."""

    def variance(
        self,
        mean: "NDArray[np.float64]",  # noqa: ARG002 - others have one
        spread: "NDArray[np.float64]",  # noqa: ARG002
    ) -> "NDArray[np.float64]":
        """Return the variance of every input ``(d,)`` where the decoder gives ``mean (d,)``.

        ``spread (d,)`` is the variance of the data, which a learned parameter suits. Divided by
        what is returned, the covariance of the data has the thresholds for eigenvalues.
        ``ValueError`` where no threshold is told.
        """
        raise ValueError(self.no_threshold)

    def choices(self, d: int) -> tuple[int, ...]:  # noqa: ARG002 - others have some
        """Return how many of d inputs are alternatives of each other, group by group."""
        return ()

    def parts(self, d: int) -> tuple[tuple["Likelihood", int], ...]:  # noqa: ARG002 - others have some
        """Return the likelihoods of groups of d inputs, and how many each has."""
        return ()

    def misfit(self, x: "NDArray[np.floating]") -> Misfit | None:
        """Return why the data ``x (n, d)`` cannot have this likelihood; None if they can."""
        import numpy as np  # noqa: PLC0415 - the algebra is told without

        low, high = self.domain
        if low <= x.min() and x.max() <= high and not (self.counts and (x != np.floor(x)).any()):
            return None
        wrong = (x < low) | (x > high)
        if self.counts:
            wrong |= x != np.floor(x)
        row, column = map(int, np.unravel_index(int(wrong.argmax()), x.shape))
        return Misfit(row, column, f"{x[row, column]:g}")

    def nothing(self, x: "NDArray[np.floating]") -> "NDArray[np.float64]":
        """Return what every example of ``x (n, d)`` is best decoded to if they must share it."""
        import numpy as np  # noqa: PLC0415 - the algebra is told without

        mean: NDArray[np.float64] = x.mean(axis=0, dtype=np.float64)
        return mean

    def of_nothing(self, x: "NDArray[np.floating]", decoded: "NDArray[np.float64]") -> float:
        """Return the mean R of ``x (n, d)``, all decoded as ``decoded (d,)``."""
        import numpy as np  # noqa: PLC0415 - the algebra is told without

        parts = (
            self.reconstruction(x[start : start + _ROWS_A_SUM].astype(np.float64), decoded).sum()
            for start in range(0, len(x), _ROWS_A_SUM)
        )
        return math.fsum(map(float, parts)) / len(x)

    def reconstruction_of_nothing(
        self, x: "NDArray[np.floating]", train: "NDArray[np.floating]"
    ) -> float:
        """Return R_0 of ``x (n, d)``: each is decoded as suits ``train (n_train, d)`` best."""
        return self.of_nothing(x, self.nothing(train))

    def fitted(self, train: "NDArray[np.floating]") -> Self:  # noqa: ARG002 - others learn
        """Return it with a number for a learned parameter that thresholds need; itself without.

        It is the one that suits ``train (n, d)`` best where the decoder gives the mean.
        """
        return self

    def without_error(self, d: int) -> float:  # noqa: ARG002 - densities depend on d
        """Return R of an example that is decoded without error, where there is such a thing."""
        return 0.0

    def constant(self, d: int) -> float:  # noqa: ARG002 - others depend on d
        """Return what R lacks to be a negative log-likelihood, in nats."""
        return 0.0

    def implied_sigma(self, beta_eff: float) -> float | None:  # noqa: ARG002 - others have one
        """Return the decoder's standard deviation that ``R + beta_eff*K`` believes in.

        None where the decoder has none.
        """
        return None

    def elbo(self, reconstruction: float, kl: float, d: int) -> float:
        """Return the ELBO, ``-(R + constant + K)``."""
        return -(reconstruction + self.constant(d) + kl)

    def elbo_best_sigma(self, reconstruction: float, kl: float, d: int) -> float:
        """Return the ELBO under the decoder variance that suits the run best.

        Where the decoder has none it is the ELBO.
        """
        return self.elbo(reconstruction, kl, d)

    def counted(
        self,
        mean: "NDArray[np.float64]",  # noqa: ARG002 - others ask it
        varies: "NDArray[np.bool_]",
    ) -> "NDArray[np.bool_]":
        """Return the inputs ``(d,)`` that have a say in the thresholds: those that vary."""
        return varies

    def whitened(
        self,
        mean: "NDArray[np.float64]",
        covariance: "NDArray[np.float64]",
        varies: "NDArray[np.bool_]",
    ) -> "NDArray[np.float64]":
        """Return ``V^(-1/2) C V^(-1/2)`` over the n inputs that are counted: ``(n, n)``.

        C is the ``covariance (d, d)`` of the training images, V the one that this likelihood has
        where every image is decoded to their ``mean (d,)``. Its eigenvalues are the thresholds.
        """
        kept = self.counted(mean, varies)
        scale = 1 / self.variance(mean, covariance.diagonal())[kept] ** 0.5
        return covariance[kept][:, kept] * (scale[:, None] * scale)

    def along(
        self,
        axis: "NDArray[np.float64]",
        x: "NDArray[np.floating]",
        mean: "NDArray[np.float64]",
    ) -> "NDArray[np.float64]":
        """Return the places ``(n,)`` of ``x (n, d)`` along an axis ``(d,)``, from their mean."""
        places: NDArray[np.float64] = x @ axis - mean @ axis
        return places


@final
@dataclass(frozen=True)
class Bernoulli(Likelihood):
    """Every input is a coin, and the decoder gives the probability of 1."""

    name = "bce"
    is_seeds = True
    words = "binary cross-entropy"
    term = "bce"
    domain = (0.0, 1.0)
    takes = "values from 0 to 1"
    output = "sigmoid"
    caution = (
        "Cross-entropy on grey pixels is not a likelihood: a bce ELBO ranks runs with each other "
        "and nothing else."
    )
    short_caution = "bce on grey pixels is no likelihood: compare its numbers with each other only."

    def reconstruction(
        self, x: "NDArray[np.float64]", x_hat: "NDArray[np.float64]"
    ) -> "NDArray[np.float64]":
        """Return ``-sum (x ln x_hat + (1 - x) ln(1 - x_hat))``.

        A probability of exactly 0 for what happened counts as 1e-7, as in Keras.
        """
        import numpy as np  # noqa: PLC0415 - the algebra is told without

        of_one = np.where(x > 0, np.maximum(x_hat, _SMALLEST), 1.0)
        of_zero = np.where(x < 1, np.maximum(1 - x_hat, _SMALLEST), 1.0)
        terms: NDArray[np.float64] = -(x * np.log(of_one) + (1 - x) * np.log(of_zero)).sum(axis=-1)
        return terms

    def of_nothing(self, x: "NDArray[np.floating]", decoded: "NDArray[np.float64]") -> float:
        """Return the cross-entropy of the mean: it is linear in x."""
        return float(self.reconstruction(self.nothing(x), decoded))

    def variance(
        self,
        mean: "NDArray[np.float64]",
        spread: "NDArray[np.float64]",  # noqa: ARG002
    ) -> "NDArray[np.float64]":
        """Return ``m (1 - m)``."""
        return mean * (1 - mean)


@final
@dataclass(frozen=True)
class FixedGaussian(Likelihood):
    """Every input is normal around the decoded one, with variance 1/2.

    R is the sum of squared errors. It is the decoder that the documentation's loss implies.
    """

    name = "mse"
    is_seeds = True
    words = "squared error"
    term = "(x - x_hat)^2"
    also = ("gaussian_fixed_sigma",)
    assumes = "sigma^2 = 1/2"
    elbos = MappingProxyType(
        {
            "elbo": f"Under a Gaussian decoder with {assumes}",
            "elbo_best_sigma": "With each run's best sigma",
        }
    )
    has_linear_optimum = True
    error_power = 2

    def reconstruction(
        self, x: "NDArray[np.float64]", x_hat: "NDArray[np.float64]"
    ) -> "NDArray[np.float64]":
        """Return ``sum (x - x_hat)^2``."""
        terms: NDArray[np.float64] = ((x - x_hat) ** 2).sum(axis=-1)
        return terms

    def of_nothing(self, x: "NDArray[np.floating]", decoded: "NDArray[np.float64]") -> float:
        """Return the variances, and the squared distance of the mean."""
        return _squared_distance(x, self.nothing(x), decoded)

    def variance(
        self,
        mean: "NDArray[np.float64]",
        spread: "NDArray[np.float64]",  # noqa: ARG002
    ) -> "NDArray[np.float64]":
        """Return 1/2 for every input."""
        return 0 * mean + 0.5

    def constant(self, d: int) -> float:
        """Return ``(d/2) ln(pi)``, that of a variance of 1/2."""
        return 0.5 * d * math.log(math.pi)

    def implied_sigma(self, beta_eff: float) -> float:
        """Return ``sqrt(beta_eff/2)``.

        Dividing ``SSE/(2 sigma^2) + K`` by ``1/(2 sigma^2)`` leaves ``SSE + 2 sigma^2 K``.

        >>> FixedGaussian().implied_sigma(392)
        14.0
        """
        return math.sqrt(beta_eff / 2)

    def elbo_best_sigma(self, reconstruction: float, kl: float, d: int) -> float:
        """Return ``-((d/2)(1 + ln(2 pi R/d)) + K)``: the best variance is R/d.

        Not a number unless R is above 0.
        """
        if not reconstruction > 0:
            return math.nan
        return -(0.5 * d * (1 + math.log(2 * math.pi * reconstruction / d)) + kl)


_DENSITY = (
    "{} is a density: R may be negative, and its ELBO ranks runs on the same data in the same unit "
    "with each other."
)
_SHORT_DENSITY = "{} is a density: R may be negative; compare its numbers on the same data only."


@final
@dataclass(frozen=True)
class Gaussian(Likelihood):
    """Every input is normal around the decoded one, with the standard deviation sigma.

    With a number it is ``mse`` with beta_eff times 2 sigma^2. Else sigma is ``learned``, one for
    all inputs or one for each (``learned_per_input``), or ``optimal``: computed from the errors,
    of a batch in training, of the training split in every metric.
    """

    sigma: Sigma = 1.0
    log_sigma_floor: float = -6.0

    name = "gaussian"
    is_density = True
    words = "Gaussian density"
    term = "(x - x_hat)^2/(2*sigma^2) + ln(2*pi*sigma^2)/2"
    caution = _DENSITY.format("gaussian")
    short_caution = _SHORT_DENSITY.format("gaussian")
    has_linear_optimum = True
    learnable = get_args(Learned)
    error_power = 2

    @property
    def error_factor(self) -> Fraction:
        """``1/(2 sigma^2)``; ``ValueError`` where sigma is learned."""
        return 1 / (2 * Fraction(repr(self.number)) ** 2)

    @property
    def learns(self) -> Learned | Literal[""]:
        """How sigma is learned; empty where it is a number."""
        return self.sigma if isinstance(self.sigma, str) else ""

    @property
    def number(self) -> float:
        """Sigma; ``ValueError`` where it is learned."""
        if isinstance(self.sigma, str):
            raise ValueError(f"sigma is {self.sigma}: it is known once a model is trained")
        return self.sigma

    def reconstruction(
        self, x: "NDArray[np.float64]", x_hat: "NDArray[np.float64]"
    ) -> "NDArray[np.float64]":
        """Return ``sum (x - x_hat)^2/(2 sigma^2) + (d/2) ln(2 pi sigma^2)``."""
        terms: NDArray[np.float64] = ((x - x_hat) ** 2).sum(axis=-1) / (2 * self.number**2)
        return terms + self.without_error(x.shape[-1])

    def of_nothing(self, x: "NDArray[np.floating]", decoded: "NDArray[np.float64]") -> float:
        """Return it from the variances, and the squared distance of the mean."""
        distance = _squared_distance(x, self.nothing(x), decoded)
        return distance / (2 * self.number**2) + self.without_error(x.shape[-1])

    def reconstruction_of_nothing(
        self, x: "NDArray[np.floating]", train: "NDArray[np.floating]"
    ) -> float:
        """Return R_0 with the sigma that suits ``train`` best; constant inputs have none."""
        import numpy as np  # noqa: PLC0415 - the algebra is told without

        if not self.learns:
            return super().reconstruction_of_nothing(x, train)
        spread = train.var(axis=0, dtype=np.float64)
        varies = train.min(axis=0) < train.max(axis=0)
        variance = self.variance(spread, spread)
        kept = varies if self.learns == "learned_per_input" else np.full(len(spread), True)
        distance = (x.mean(axis=0, dtype=np.float64) - self.nothing(train)) ** 2
        distance += x.var(axis=0, dtype=np.float64)
        return 0.5 * float((distance / variance + np.log(2 * np.pi * variance))[kept].sum())

    def variance(
        self,
        mean: "NDArray[np.float64]",
        spread: "NDArray[np.float64]",
    ) -> "NDArray[np.float64]":
        """Return ``sigma^2`` for every input; a learned one is that of the data."""
        import numpy as np  # noqa: PLC0415 - the algebra is told without

        if self.learns == "learned_per_input":
            return np.where(spread > 0, spread, 1.0)
        return 0 * mean + (float(spread.mean()) if self.learns else self.number**2)

    def without_error(self, d: int) -> float:
        """Return ``(d/2) ln(2 pi sigma^2)``."""
        return d * (0.5 * _LOG_2_PI + math.log(self.number))


@final
@dataclass(frozen=True)
class Laplace(Likelihood):
    """Every input lies around the decoded one, exponentially less likely with the distance."""

    sigma: float = 1.0

    name = "laplace"
    is_density = True
    published = ("l1",)
    words = "Laplace density"
    term = "|x - x_hat|/sigma + ln(2*sigma)"
    caution = _DENSITY.format("laplace")
    short_caution = _SHORT_DENSITY.format("laplace")
    no_threshold = (
        "laplace has no curvature at the median, so that no second order tells where it collapses"
    )
    error_power = 1

    @property
    def error_factor(self) -> Fraction:
        """``1/sigma``."""
        return 1 / Fraction(repr(self.sigma))

    def reconstruction(
        self, x: "NDArray[np.float64]", x_hat: "NDArray[np.float64]"
    ) -> "NDArray[np.float64]":
        """Return ``sum |x - x_hat|/sigma + d ln(2 sigma)``."""
        terms: NDArray[np.float64] = abs(x - x_hat).sum(axis=-1) / self.sigma
        return terms + self.without_error(x.shape[-1])

    def nothing(self, x: "NDArray[np.floating]") -> "NDArray[np.float64]":
        """Return the median of every input."""
        import numpy as np  # noqa: PLC0415 - the algebra is told without

        median: NDArray[np.float64] = np.median(x, axis=0).astype(np.float64)
        return median

    def without_error(self, d: int) -> float:
        """Return ``d ln(2 sigma)``."""
        return d * math.log(2 * self.sigma)


@final
@dataclass(frozen=True)
class ContinuousBernoulli(Likelihood):
    """A density on [0, 1], exponential in x; the decoder gives lambda, that of a coin.

    Loaiza-Ganem and Cunningham, "The continuous Bernoulli" (2019). Its mean is not lambda.
    """

    name = "continuous_bernoulli"
    is_density = True
    words = "continuous Bernoulli density"
    term = "bce - ln C(x_hat)"
    domain = (0.0, 1.0)
    takes = "values from 0 to 1"
    output = "sigmoid"
    caution = (
        _DENSITY.format("continuous_bernoulli")
        + " Of an input that is always 0 or always 1 the density grows without end."
    )
    short_caution = _SHORT_DENSITY.format("continuous_bernoulli")
    no_threshold = (
        "the threshold of continuous_bernoulli hangs on the few examples with a value where nearly "
        "all others have 0 or 1: on digits, on one image of 1,437"
    )

    def reconstruction(
        self, x: "NDArray[np.float64]", x_hat: "NDArray[np.float64]"
    ) -> "NDArray[np.float64]":
        """Return ``sum ln((e^l - 1)/l) - l x`` with l the logit of lambda.

        A lambda of 0 or 1 counts as 1e-7 or 1 - 1e-7.
        """
        import numpy as np  # noqa: PLC0415 - the algebra is told without

        coin = np.clip(x_hat, _SMALLEST, 1 - _SMALLEST)
        logit = np.log(coin) - np.log1p(-coin)
        half = abs(logit) / 2
        large = np.maximum(half, 1e-2)  # ln(sinh(h)/h) is written in two ways
        of_large = large + np.log1p(-np.exp(-2 * large)) - np.log(2 * large)
        of_small = half**2 / 6 - half**4 / 180
        terms: NDArray[np.float64] = (
            logit * (0.5 - x) + np.where(half < 1e-2, of_small, of_large)
        ).sum(axis=-1)
        return terms

    def nothing(self, x: "NDArray[np.floating]") -> "NDArray[np.float64]":
        """Return the lambda that has the mean of every input, at most 1e-7 from 0 and 1."""
        import numpy as np  # noqa: PLC0415 - the algebra is told without

        mean = x.mean(axis=0, dtype=np.float64)
        high = np.full_like(mean, -math.log(_SMALLEST))
        low = -high
        for _ in range(60):  # halves the interval to the last digit
            logit = (low + high) / 2
            near = abs(logit) < 1e-4
            safe = np.where(near, 1.0, logit)
            found = np.where(near, 0.5 + logit / 12, -1 / np.expm1(-safe) - 1 / safe)
            low, high = np.where(found < mean, logit, low), np.where(found < mean, high, logit)
        coin: NDArray[np.float64] = 1 / (1 + np.exp(-logit))
        return coin

    def of_nothing(self, x: "NDArray[np.floating]", decoded: "NDArray[np.float64]") -> float:
        """Return R of the mean: it is linear in x."""
        import numpy as np  # noqa: PLC0415 - the algebra is told without

        return float(self.reconstruction(x.mean(axis=0, dtype=np.float64), decoded))


@final
@dataclass(frozen=True)
class Poisson(Likelihood):
    """Every input is a count, and the decoder gives the logarithm of its mean."""

    name = "poisson"
    words = "Poisson probability"
    term = "x_hat - x*ln(x_hat) + ln(x!)"
    domain = (0.0, math.inf)
    counts = True
    takes = "whole numbers of at least 0"
    encodes_logarithm = True
    output = "exponential"

    def reconstruction(
        self, x: "NDArray[np.float64]", x_hat: "NDArray[np.float64]"
    ) -> "NDArray[np.float64]":
        """Return ``sum x_hat - x ln x_hat + ln x!``; a mean of exactly 0 counts as 1e-300."""
        import numpy as np  # noqa: PLC0415 - the algebra is told without
        from scipy.special import gammaln  # noqa: PLC0415

        logs = np.log(np.maximum(x_hat, _LEAST))
        terms: NDArray[np.float64] = (x_hat - x * logs + gammaln(x + 1)).sum(axis=-1)
        return terms

    def variance(
        self,
        mean: "NDArray[np.float64]",
        spread: "NDArray[np.float64]",  # noqa: ARG002
    ) -> "NDArray[np.float64]":
        """Return m."""
        return mean


@final
@dataclass(frozen=True)
class NegativeBinomial(Likelihood):
    """Every input is a count that is spread wider than Poisson's: its variance is m + m^2/r."""

    dispersion: float | Literal["learned"] = 1.0

    name = "negative_binomial"
    published = ("nb",)
    words = "negative binomial probability"
    term = "(x + r)*ln(1 + x_hat/r) - x*ln(x_hat/r) - ln(Gamma(x + r)/(Gamma(r)*x!))"
    domain = (0.0, math.inf)
    counts = True
    takes = "whole numbers of at least 0"
    encodes_logarithm = True
    output = "exponential"

    @property
    def learns(self) -> Learned | Literal[""]:
        """Whether r is learned."""
        return self.dispersion if isinstance(self.dispersion, str) else ""

    @property
    def number(self) -> float:
        """r; ``ValueError`` where it is learned."""
        if isinstance(self.dispersion, str):
            raise ValueError("the dispersion is known once a model is trained")
        return self.dispersion

    def fitted(self, train: "NDArray[np.floating]") -> Self:
        """Return it with the r that suits ``train (n, d)`` best where the decoder gives the mean.

        From e^-7 to e^12; above, it is Poisson to four digits.
        """
        if not self.learns:
            return self
        import numpy as np  # noqa: PLC0415 - the algebra is told without
        from scipy.optimize import minimize_scalar  # noqa: PLC0415
        from scipy.special import gammaln  # noqa: PLC0415

        mean = train.mean(axis=0, dtype=np.float64)
        counts, times = np.unique(train, return_counts=True)
        counts = counts.astype(np.float64)

        def cost(log_r: float) -> float:
            r = math.exp(log_r)
            ways = float(times @ (gammaln(counts + r) - gammaln(r))) / len(train)
            return float(((mean + r) * np.log1p(mean / r)).sum() + log_r * mean.sum()) - ways

        found = minimize_scalar(cost, bounds=(-7, 12), method="bounded", options={"xatol": 1e-8})
        return replace(self, dispersion=math.exp(float(found.x)))

    def reconstruction_of_nothing(
        self, x: "NDArray[np.floating]", train: "NDArray[np.floating]"
    ) -> float:
        """Return R_0 with the r that suits ``train`` best."""
        fitted = self.fitted(train)
        return fitted.of_nothing(x, fitted.nothing(train))

    def reconstruction(
        self, x: "NDArray[np.float64]", x_hat: "NDArray[np.float64]"
    ) -> "NDArray[np.float64]":
        """Return the negative log-probability; a mean of exactly 0 counts as 1e-300."""
        import numpy as np  # noqa: PLC0415 - the algebra is told without
        from scipy.special import gammaln  # noqa: PLC0415

        r = self.number
        share = np.maximum(x_hat, _LEAST) / r
        ways = gammaln(x + r) - gammaln(r) - gammaln(x + 1)
        terms: NDArray[np.float64] = ((x + r) * np.log1p(share) - x * np.log(share) - ways).sum(
            axis=-1
        )
        return terms

    def variance(
        self,
        mean: "NDArray[np.float64]",
        spread: "NDArray[np.float64]",  # noqa: ARG002
    ) -> "NDArray[np.float64]":
        """Return ``m + m^2/r``."""
        return mean + mean**2 / self.number


@final
@dataclass(frozen=True)
class Categorical(Likelihood):
    """Every group of inputs is one choice, one-hot; the decoder gives its probabilities.

    ``groups`` is the size of every group, or their sizes in order: see ``group_sizes``.
    """

    groups: str = ""

    name = "categorical"
    words = "cross-entropy of each group"
    term = "-x*ln(x_hat)"
    domain = (0.0, 1.0)
    counts = True
    takes = "a single 1 in each group, and 0 elsewhere"
    output = "softmax"

    def choices(self, d: int) -> tuple[int, ...]:
        """Return the size of every group."""
        return group_sizes(self.groups, d)

    def reconstruction(
        self, x: "NDArray[np.float64]", x_hat: "NDArray[np.float64]"
    ) -> "NDArray[np.float64]":
        """Return ``-sum x ln x_hat``; a probability of 0 for what happened counts as 1e-300."""
        return _chosen(x, x_hat)

    def misfit(self, x: "NDArray[np.floating]") -> Misfit | None:
        """Return the first value that is neither 0 nor 1, or the first row without one choice."""
        import numpy as np  # noqa: PLC0415 - the algebra is told without

        try:
            sizes = group_sizes(self.groups, x.shape[1])
        except ValueError as problem:
            return Misfit(None, None, f"groups = {self.groups!r}: {problem}")
        if (found := super().misfit(x)) is not None:
            return found
        starts = np.cumsum([0, *sizes[:-1]])
        wrong = np.add.reduceat(x, starts, axis=1) != 1
        if not wrong.any():
            return None
        row, group = map(int, np.unravel_index(int(wrong.argmax()), wrong.shape))
        n_chosen = int(x[row, starts[group] : starts[group] + sizes[group]].sum())
        return Misfit(row, int(starts[group]), f"a group with {n_chosen or 'none'}")

    def of_nothing(self, x: "NDArray[np.floating]", decoded: "NDArray[np.float64]") -> float:
        """Return R of the mean: it is linear in x."""
        return float(_chosen(self.nothing(x), decoded))

    def variance(
        self,
        mean: "NDArray[np.float64]",
        spread: "NDArray[np.float64]",  # noqa: ARG002
    ) -> "NDArray[np.float64]":
        """Return p.

        V is ``diag(p) - p p^T`` of each group; since the rows of C add up to 0 within a group,
        ``diag(p)`` leaves the same eigenvalues, and a 0 for each group.
        """
        return mean


@final
@dataclass(frozen=True)
class Multinomial(Likelihood):
    """An example is the counts of its n_x draws; the decoder gives the probabilities.

    How many draws there are is not modelled.
    """

    name = "multinomial"
    words = "multinomial probability"
    term = "-x*ln(x_hat) + ln(x!)"
    domain = (0.0, math.inf)
    counts = True
    takes = "whole numbers of at least 0"
    encodes_logarithm = True
    output = "softmax"

    def choices(self, d: int) -> tuple[int, ...]:
        """Return d: every draw is one of all inputs."""
        return (d,)

    def reconstruction(
        self, x: "NDArray[np.float64]", x_hat: "NDArray[np.float64]"
    ) -> "NDArray[np.float64]":
        """Return ``-sum x ln x_hat - ln(n_x! / prod x!)``.

        A probability of exactly 0 for what happened counts as 1e-300.
        """
        from scipy.special import gammaln  # noqa: PLC0415 - the algebra is told without

        ways: NDArray[np.float64] = gammaln(x.sum(axis=-1) + 1) - gammaln(x + 1).sum(axis=-1)
        return _chosen(x, x_hat) - ways

    def nothing(self, x: "NDArray[np.floating]") -> "NDArray[np.float64]":
        """Return the share of every input in all draws."""
        mean = super().nothing(x)
        shares: NDArray[np.float64] = mean / max(float(mean.sum()), _LEAST)
        return shares

    def variance(
        self,
        mean: "NDArray[np.float64]",
        spread: "NDArray[np.float64]",  # noqa: ARG002
    ) -> "NDArray[np.float64]":
        """Return m, the mean draws times p: the rest of ``n (diag(p) - p p^T)`` has no say."""
        return mean

    def counted(
        self,
        mean: "NDArray[np.float64]",
        varies: "NDArray[np.bool_]",  # noqa: ARG002
    ) -> "NDArray[np.bool_]":
        """Return the inputs that were ever drawn: a constant one has shares that vary."""
        return mean > 0

    def whitened(
        self,
        mean: "NDArray[np.float64]",
        covariance: "NDArray[np.float64]",
        varies: "NDArray[np.bool_]",
    ) -> "NDArray[np.float64]":
        """Return it of the covariance of ``x - n_x p``, that of the shares."""
        shares = mean / mean.sum()
        of_total = covariance.sum(axis=1)
        crossed = shares[:, None] * of_total
        residual = (
            covariance - crossed - crossed.T + (shares[:, None] * shares) * float(of_total.sum())
        )
        return super().whitened(mean, residual, varies)

    def along(
        self,
        axis: "NDArray[np.float64]",
        x: "NDArray[np.floating]",
        mean: "NDArray[np.float64]",
    ) -> "NDArray[np.float64]":
        """Return the places of ``x - n_x p`` along an axis."""
        places: NDArray[np.float64] = x @ axis - x.sum(axis=1, dtype=float) * (
            mean @ axis / mean.sum()
        )
        return places


@final
@dataclass(frozen=True)
class Mixed(Likelihood):
    """Every group of columns has a likelihood of its own; R is their sum.

    ``groups`` names the columns of each, from 1 and in order. Each ``categorical`` group is one
    choice. The data are seen as they are.
    """

    sigma: float = 1.0
    dispersion: float = 1.0
    groups: str = ""

    name = "mixed"
    is_density = True
    words = "a likelihood for each group of columns"
    term = "that of its group"
    takes = "what the likelihood of each group takes"
    output = "parts"
    caution = (
        "A mixed ELBO adds densities and probabilities: it ranks runs on the same data in the same "
        "units with each other."
    )
    short_caution = "mixed adds densities and probabilities: compare on the same data only."

    def parts(self, d: int) -> tuple[tuple[Likelihood, int], ...]:
        """Return the likelihood and the number of columns of every group; ``ValueError``."""
        found = []
        sizes = group_sizes(re.sub(r"[a-z_]+:", "", self.groups), d)
        names = [part.partition(":")[0].strip() for part in self.groups.split("+")]
        for name, size in zip(names, sizes, strict=False):
            if name not in _OF_GROUPS:
                raise ValueError(f"`groups` of mixed are such as {_MIXED_EXAMPLE}")
            kind = LIKELIHOODS[name]
            own: dict[str, Any] = {each: getattr(self, each) for each in ("sigma", "dispersion")}
            if any(each in kind.parameters and isinstance(x, str) for each, x in own.items()):
                raise ValueError("sigma and dispersion of mixed are numbers")
            own["groups"] = str(size)
            mine = {each: x for each, x in own.items() if each in kind.parameters}
            found.append((replace(kind, **mine), size))
        return tuple(found)

    def _split(self, *rows: "NDArray[Any]") -> Iterator[tuple[Any, ...]]:
        """Yield the likelihood of every group, and its columns of each of ``rows``."""
        start = 0
        for kind, size in self.parts(rows[0].shape[-1]):
            yield kind, *(part[..., start : start + size] for part in rows)
            start += size

    def misfit(self, x: "NDArray[np.floating]") -> Misfit | None:
        """Return the first value that the likelihood of its group cannot have."""
        try:
            parts = self.parts(x.shape[1])
        except ValueError as problem:
            return Misfit(None, None, f"groups = {self.groups!r}: {problem}")
        start = 0
        for kind, size in parts:
            found = kind.misfit(x[:, start : start + size])
            if found is not None:
                column = start + (found.column or 0)
                return replace(found, column=column, takes=f"{kind.takes}, for {kind.name} there")
            start += size
        return None

    def reconstruction(
        self, x: "NDArray[np.float64]", x_hat: "NDArray[np.float64]"
    ) -> "NDArray[np.float64]":
        """Return the sum of those of the groups."""
        each = [kind.reconstruction(own, own_hat) for kind, own, own_hat in self._split(x, x_hat)]
        total: NDArray[np.float64] = sum(each[1:], each[0])
        return total

    def variance(
        self, mean: "NDArray[np.float64]", spread: "NDArray[np.float64]"
    ) -> "NDArray[np.float64]":
        """Return those of the groups."""
        import numpy as np  # noqa: PLC0415 - the algebra is told without

        return np.concatenate(
            [kind.variance(own, own_spread) for kind, own, own_spread in self._split(mean, spread)]
        )

    def constant(self, d: int) -> float:
        """Return the sum of those of the groups."""
        return math.fsum(kind.constant(size) for kind, size in self.parts(d))


def group_sizes(groups: str, d: int) -> tuple[int, ...]:
    """Return how many of d columns each group has.

    ``groups`` is one size for all of them, or the columns of each, from 1 and in order.
    ``ValueError`` says what is wrong.

    >>> group_sizes("4", 12)
    (4, 4, 4)
    >>> group_sizes("1-3+4+5-12", 12)
    (3, 1, 8)
    """
    size = groups.strip()
    if size.isdecimal():
        if not 0 < int(size) <= d or d % int(size):
            raise ValueError(f"groups of {size} columns do not divide d = {d}")
        return (int(size),) * (d // int(size))
    sizes, last = [], 0
    for part in size.split("+"):
        first, dash, end = part.strip().partition("-")
        end = end if dash else first
        if not (first.strip().isdecimal() and end.strip().isdecimal()):
            raise ValueError("`groups` is a size, such as 4, or ranges of columns, such as 1-3+4-8")
        if int(first) != last + 1 or int(end) < int(first):
            raise ValueError(f"the group {part.strip()} does not begin at column {last + 1}")
        sizes.append(int(end) - last)
        last = int(end)
    if last != d:
        raise ValueError(f"the groups end at column {last}, and there are {d}")
    return tuple(sizes)


def numbered_groups(groups: str, columns: Sequence[str]) -> str:
    """Return ``groups`` with the places of ``columns``, from 1, where it names them.

    A range goes from one name to another. ``ValueError`` names what is no column.

    >>> numbered_groups("gaussian:age-height+poisson:visits", ["age", "height", "visits"])
    'gaussian:1-2+poisson:3'
    """
    numbered = []
    for part in groups.split("+"):
        kind, colon, ends = part.strip().rpartition(":")
        places = _places(ends.strip(), columns)
        if not places:
            raise ValueError(ends.strip())
        numbered.append(kind + colon + "-".join(places))
    return "+".join(numbered)


def _places(ends: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the place of a column, or of the first and the last of a range; () for neither."""

    def place(name: str) -> str:
        return str(columns.index(name) + 1) if name in columns else name * name.isdecimal()

    if one := place(ends):
        return (one,)
    dashes = [dash.start() for dash in re.finditer("-", ends)]
    for dash in dashes:  # a name may hold some
        first, last = place(ends[:dash].strip()), place(ends[dash + 1 :].strip())
        if first and last:
            return first, last
    return ()


def _squared_distance(
    x: "NDArray[np.floating]", mean: "NDArray[np.float64]", decoded: "NDArray[np.float64]"
) -> float:
    """Return the mean over examples of the squared distance of ``x (n, d)`` to ``decoded (d,)``."""
    variance = x.var(axis=0, dtype=float)
    return float((variance + (mean - decoded) ** 2).sum())


def _chosen(x: "NDArray[np.float64]", x_hat: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return ``-sum x ln x_hat``; a probability of 0 for what happened counts as 1e-300."""
    import numpy as np  # noqa: PLC0415 - the algebra is told without

    logs = np.log(np.where(x > 0, np.maximum(x_hat, _LEAST), 1.0))
    terms: NDArray[np.float64] = -(x * logs).sum(axis=-1)
    return terms


LIKELIHOODS: Mapping[str, Likelihood] = MappingProxyType(
    {
        each.name: each
        for each in (
            Bernoulli(),
            FixedGaussian(),
            Gaussian(),
            Laplace(),
            ContinuousBernoulli(),
            Poisson(),
            NegativeBinomial(),
            Categorical(),
            Multinomial(),
            Mixed(),
        )
    }
)
OWN = "own"  # in place of a name: that of the loss, as the catalogue has it
if TYPE_CHECKING:
    ReconstructionLoss = str
    AskedLikelihood = str
else:  # the names, for whoever reads them from a file or an option
    ReconstructionLoss = Literal[tuple(LIKELIHOODS)]
    AskedLikelihood = Literal[(*LIKELIHOODS, OWN)]
ELBOS = tuple(dict.fromkeys(name for each in LIKELIHOODS.values() for name in each.elbos))
NAMES = joined(LIKELIHOODS, "or")
OWN_SETTINGS = tuple(dict.fromkeys(x for each in LIKELIHOODS.values() for x in each.own_settings))


def likelihood(name: str) -> Likelihood:
    """Return the likelihood of that name; ``UsageError`` names the nearest ones."""
    if name in LIKELIHOODS:
        return LIKELIHOODS[name]
    raise UsageError(
        f"no reconstruction loss is called {name!r}",
        expected=NAMES,
        received=repr(name),
        remedy=did_you_mean(name, LIKELIHOODS),
    )


def bits_per_dim(elbo: float, d: int) -> float:
    """Return ``-elbo / (d ln 2)``."""
    return -elbo / (d * math.log(2))
