"""Likelihoods: what each kind of reconstruction says of the data, one class a kind.

R is the reconstruction term summed over the d inputs, K the KL summed over the latents, both
in nats per image. Whatever objective was trained, a likelihood says what R and K are worth: its
ELBO. A new likelihood is a class in this file and a term in ``nn/terms.py``.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Literal, final

from lossbench.errors import UsageError, did_you_mean
from lossbench.words import joined

if TYPE_CHECKING:  # the algebra is printed without NumPy, which takes as long to load as the rest
    import numpy as np
    from numpy.typing import NDArray

_SMALLEST = 1e-7  # that a probability of 0 counts for, as in Keras


class Likelihood(ABC):
    """One kind of reconstruction: p(x|z), of which R is the negative logarithm.

    * ``name`` is what a run calls it, ``words`` what people do; ``also`` are further names that
      the catalogue has for the same term, and ``term`` is what one input adds to R.
    * ``domain`` holds the least and the largest value that data may have.
    * ``decodes_probabilities`` is whether the decoder ends in a sigmoid, even that of a linear
      model.
    * ``assumes`` is the decoder's parameter that is not trained, if there is one.
    * ``elbos`` are the columns that hold an ELBO of its own, and what each rests on.
    * ``caution`` says, at length and in short, what its ELBO cannot be compared with.
    * ``has_linear_optimum`` is whether ``theory.linear_optimum`` is that of a linear model.
    """

    name: ClassVar[str]
    words: ClassVar[str]
    term: ClassVar[str]
    also: ClassVar[tuple[str, ...]] = ()
    domain: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    decodes_probabilities: ClassVar[bool] = False
    caution: ClassVar[str] = ""
    short_caution: ClassVar[str] = ""
    assumes: ClassVar[str] = ""
    elbos: ClassVar[Mapping[str, str]] = MappingProxyType({"elbo": ""})
    has_linear_optimum: ClassVar[bool] = False

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that the catalogue has for the term."""
        return (self.name, *self.also)

    @abstractmethod
    def reconstruction(
        self, x: "NDArray[np.float64]", x_hat: "NDArray[np.float64]"
    ) -> "NDArray[np.float64]":
        """Return R of every example ``(n,)``: of ``x (n, d)``, decoded as ``x_hat (n, d)``."""

    @abstractmethod
    def variance(self, mean: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Return the variance of every input ``(d,)`` where the decoder gives ``mean (d,)``."""

    @abstractmethod
    def of_nothing(
        self,
        decoded: "NDArray[np.float64]",
        mean: "NDArray[np.float64]",
        variance: "NDArray[np.float64]",
    ) -> float:
        """Return R of examples of this ``mean (d,)`` and ``variance (d,)``, all decoded alike."""

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

    def whitened(
        self,
        mean: "NDArray[np.float64]",
        covariance: "NDArray[np.float64]",
        varies: "NDArray[np.bool_]",
    ) -> "NDArray[np.float64]":
        """Return ``V^(-1/2) C V^(-1/2)`` over the n inputs that vary: ``(n, n)``.

        C is the ``covariance (d, d)`` of the training images, V the one that this likelihood has
        where every image is decoded to their ``mean (d,)``. Its eigenvalues are the thresholds.
        """
        scale = 1 / self.variance(mean[varies]) ** 0.5
        return covariance[varies][:, varies] * (scale[:, None] * scale)


@final
class Bernoulli(Likelihood):
    """Every input is a coin, and the decoder gives the probability of 1."""

    name = "bce"
    words = "binary cross-entropy"
    term = "bce"
    domain = (0.0, 1.0)
    decodes_probabilities = True
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

    def of_nothing(
        self,
        decoded: "NDArray[np.float64]",
        mean: "NDArray[np.float64]",
        variance: "NDArray[np.float64]",  # noqa: ARG002
    ) -> float:
        """Return the cross-entropy of the mean: it is linear in x."""
        return float(self.reconstruction(mean, decoded))

    def variance(self, mean: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Return ``m (1 - m)``."""
        return mean * (1 - mean)


@final
class FixedGaussian(Likelihood):
    """Every input is normal around the decoded one, with variance 1/2.

    R is the sum of squared errors. It is the decoder that the documentation's loss implies.
    """

    name = "mse"
    words = "squared error"
    term = "(x - x_hat)^2"
    also = ("gaussian_fixed_sigma", "learned_sigma")
    assumes = "sigma^2 = 1/2"
    elbos = MappingProxyType(
        {
            "elbo": f"Under a Gaussian decoder with {assumes}",
            "elbo_best_sigma": "With each run's best sigma",
        }
    )
    has_linear_optimum = True

    def reconstruction(
        self, x: "NDArray[np.float64]", x_hat: "NDArray[np.float64]"
    ) -> "NDArray[np.float64]":
        """Return ``sum (x - x_hat)^2``."""
        terms: NDArray[np.float64] = ((x - x_hat) ** 2).sum(axis=-1)
        return terms

    def of_nothing(
        self,
        decoded: "NDArray[np.float64]",
        mean: "NDArray[np.float64]",
        variance: "NDArray[np.float64]",
    ) -> float:
        """Return the variances, and the squared distance of the mean."""
        return float((variance + (mean - decoded) ** 2).sum())

    def variance(self, mean: "NDArray[np.float64]") -> "NDArray[np.float64]":
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


LIKELIHOODS: Mapping[str, Likelihood] = MappingProxyType(
    {each.name: each for each in (Bernoulli(), FixedGaussian())}
)
if TYPE_CHECKING:
    ReconstructionLoss = str
else:  # the names, for whoever reads them from a file or an option
    ReconstructionLoss = Literal[tuple(LIKELIHOODS)]
ELBOS = tuple(dict.fromkeys(name for each in LIKELIHOODS.values() for name in each.elbos))
NAMES = joined(LIKELIHOODS, "or")


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
