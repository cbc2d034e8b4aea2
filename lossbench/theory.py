"""What the training images alone say about a VAE's optimum, before any training.

Let C be the covariance of the training images and V the one that the likelihood has where
every image is decoded to their mean. The thresholds are the eigenvalues of V^(-1/2) C V^(-1/2), by
a second-order expansion around the collapsed solution. For ``mse`` they are 2 * eigenvalues of C,
along the directions of probabilistic PCA (Tipping and Bishop 1999; Lucas et al. 2019, "Don't Blame
the ELBO!").
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from lossbench.errors import DataError
from lossbench.loss import Likelihood
from lossbench.words import significant

_SIGNIFICANT_DIGITS = 6  # the last digits depend on the processor
_IMAGES_A_PRODUCT = 4096
_ACTIVE_SIGNAL = 0.02
_FEW = 30  # images that carry a direction
# Breast cancer's 1.1 has an active optimum at 1.1 t_1; patches' 0.5 none beyond 1.02.
_SKEWED = 1.0


@dataclass(frozen=True)
class LinearOptimum:
    """The optimum of a linear Gaussian VAE on its training split, nats per image."""

    active_units: int
    kl: float
    reconstruction: float


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean ``(d,)`` and covariance ``(d, d)`` of the training images, and which pixels vary."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    varies: NDArray[np.bool_]


def moments(images: NDArray[np.floating]) -> Moments:
    """Return the moments of ``images (n, d)``; ``DataError`` if no pixel varies.

    Products are taken in float32 over a few thousand centred images, and added in float64; on
    one thread, since how many share a product decides the order of its sums.
    """
    mean = images.mean(axis=0, dtype=np.float64)
    varies = (images != images[0]).any(axis=0)
    if not varies.any():
        raise DataError("every image is the same, so there is nothing to encode")
    d = images.shape[1]
    covariance = np.zeros((d, d))
    with threadpool_limits(limits=1, user_api="blas"):
        for start in range(0, len(images), _IMAGES_A_PRODUCT):
            centred = images[start : start + _IMAGES_A_PRODUCT] - mean.astype(np.float32)
            covariance += centred.T @ centred
    return Moments(mean, covariance / len(images), varies)


def thresholds(moments: Moments, kind: Likelihood) -> NDArray[np.float64]:
    """Return the thresholds t_1 >= t_2 >= ..., one a direction in which the images vary.

    A latent that codes direction j carries information exactly if t_j > beta_eff. Constant
    pixels are left out. There are none where the likelihood has none to tell.
    """
    if kind.no_threshold:
        return np.array([])
    whitened = kind.whitened(moments.mean, moments.covariance, moments.varies)
    with threadpool_limits(limits=1, user_api="blas"):
        eigenvalues = np.linalg.eigvalsh(whitened)[::-1]
    return np.array([float(f"{max(t, 0.0):.{_SIGNIFICANT_DIGITS}g}") for t in eigenvalues])


def reconstruction_of_nothing(
    images: NDArray[np.floating], train: NDArray[np.floating], kind: Likelihood
) -> float:
    """Return R_0: R of ``images (n, d)``, each decoded as suits ``train (n_train, d)`` best.

    In nats an image. That is the mean of the training images, or for some likelihoods what stands
    for it. A loss that stays there has a decoder that draws the same image for everybody.
    """
    return kind.of_nothing(images, kind.nothing(train))


@dataclass(frozen=True)
class Direction:
    """The direction in which the images leave the collapsed solution first, that of t_1.

    ``skewness`` is that of the images along it; ``n_carrying`` how many images carry it, the
    effective number ``(sum s^2)^2 / sum s^4`` of their places s.
    """

    skewness: float
    n_carrying: float

    def limits(self, n_images: int) -> tuple[str, ...]:
        """Return what limits the verdict of t_1, a sentence each: few of the images, or skew."""
        told = []
        if self.n_carrying < _FEW:
            told.append(
                f"t_1 lives on about {self.n_carrying:.0f} of {n_images:,} images: it is no "
                "verdict on the others"
            )
        if self.skewness > _SKEWED:
            told.append(
                f"the images are skewed along t_1 (skewness {significant(self.skewness, 2)}): a "
                "nonlinear model may have an active optimum above it, too"
            )
        return tuple(told)


def first_direction(
    images: NDArray[np.floating], moments: Moments, kind: Likelihood
) -> Direction | None:
    """Return what the training images are like along the direction of t_1, if one is told."""
    if kind.no_threshold:
        return None
    kept = kind.counted(moments.mean, moments.varies)
    with threadpool_limits(limits=1, user_api="blas"):
        whitened = kind.whitened(moments.mean, moments.covariance, moments.varies)
        _, vectors = np.linalg.eigh(whitened)
        axis = vectors[:, -1] / kind.variance(moments.mean[kept]) ** 0.5
        places = kind.along(axis, images[:, kept], moments.mean[kept])
    squares = places**2
    return Direction(
        skewness=abs(float((places**3).mean() / squares.mean() ** 1.5)),
        n_carrying=float(squares.sum() ** 2 / (squares**2).sum()),
    )


def collapse_threshold(thresholds: NDArray[np.float64], noise_std: float = 1.0) -> float | None:
    """Return the ``beta_eff`` from which the collapsed solution is stable; None if untold."""
    return float(thresholds[0]) / noise_std**2 if len(thresholds) else None


def predicted_active_units(
    thresholds: NDArray[np.float64], beta_eff: float, k: int, noise_std: float = 1.0
) -> int | None:
    """Return ``min(k, #{t_j / noise_std^2 > beta_eff})``; None where there are no thresholds.

    Exact for a linear model with ``mse``, close near t_1, an upper bound far below it.
    """
    if not len(thresholds):
        return None
    return min(k, int(np.sum(thresholds / noise_std**2 > beta_eff)))


def _n_active(thresholds: NDArray[np.float64], beta_eff: float, k: int) -> int:
    return predicted_active_units(thresholds, beta_eff, k) or 0


def is_active(signal: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which latents are active: those whose mean varies over 0.02 times their noise.

    ``signal`` is the variance of a latent's mean over the images, ``noise`` the mean variance of
    what is sampled around it. Near collapse, and with unit noise, it is a KL of 0.01 nats.
    """
    return signal > _ACTIVE_SIGNAL * noise


def predicted_kl(thresholds: NDArray[np.float64], beta_eff: float, k: int) -> float:
    """Return ``1/2 sum ln(t_j / beta_eff)`` over the predicted active units, in nats; unit noise.

    Exact for a linear model with ``mse``. For others a guess that is usually too low: a dense net
    on MNIST at 14 x 14 with ``bce`` has 1.2 to 1.5 times as much, clustered data several times.
    """
    n_active = _n_active(thresholds, beta_eff, k)
    return 0.5 * float(np.sum(np.log(thresholds[:n_active] / beta_eff)))


def carried(thresholds: NDArray[np.float64], beta_eff: float, k: int) -> tuple[float, ...]:
    """Return what each of k latents carries, in nats: ``1/2 ln(t_j / beta_eff)``, and 0 below."""
    largest = np.pad(thresholds[:k], (0, max(0, k - len(thresholds))))
    return tuple(map(float, 0.5 * np.log(np.maximum(largest / beta_eff, 1.0))))


def beta_eff_of_kl(thresholds: NDArray[np.float64], kl: float, k: int) -> float:
    """Return the ``beta_eff`` at which ``predicted_kl`` is ``kl``, which is above 0.

    With n active latents it is ``exp((sum_{j<=n} ln t_j - 2 kl) / n)``; of these the largest has
    the right n, since fewer directions, or more, would add less. 0 where none varies.
    """
    logarithms = np.log(thresholds[thresholds > 0][:k])
    if not len(logarithms):
        return 0.0
    n_active = np.arange(1, len(logarithms) + 1)
    return float(np.exp(((np.cumsum(logarithms) - 2 * kl) / n_active).max()))


def linear_optimum(
    thresholds: NDArray[np.float64], beta_eff: float, k: int, without_error: float = 0.0
) -> LinearOptimum:
    """Return the optimum of a linear VAE with ``mse`` and unit noise (Gaussian water-filling).

    ``thresholds`` are those of ``mse``, t_j = 2 lambda_j. K = 1/2 sum_active ln(t_j/beta_eff),
    R = 1/2 sum_inactive t_j + n_active * beta_eff/2. Of a ``gaussian``, t_j = lambda_j/sigma^2,
    and R has the constant that it has ``without_error``. ``ValueError`` unless beta_eff is above 0.
    """
    if not beta_eff > 0:
        raise ValueError(f"`beta_eff` must be above 0, received {beta_eff}")
    n_active = _n_active(thresholds, beta_eff, k)
    inactive = thresholds[n_active:]
    return LinearOptimum(
        active_units=n_active,
        kl=predicted_kl(thresholds, beta_eff, k),
        reconstruction=0.5 * float(inactive.sum()) + n_active * beta_eff / 2 + without_error,
    )
