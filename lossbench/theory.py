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
from lossbench.loss import likelihood

_SIGNIFICANT_DIGITS = 6  # the last digits depend on the processor
_IMAGES_A_PRODUCT = 4096
_ACTIVE_SIGNAL = 0.02


@dataclass(frozen=True)
class LinearOptimum:
    """The optimum of a linear VAE with ``mse`` on its training split, nats per image."""

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


def thresholds(moments: Moments, reconstruction_loss: str) -> NDArray[np.float64]:
    """Return the thresholds t_1 >= t_2 >= ..., one a direction in which the images vary.

    A latent that codes direction j carries information exactly if t_j > beta_eff. Constant
    pixels are left out.
    """
    whitened = likelihood(reconstruction_loss).whitened(
        moments.mean, moments.covariance, moments.varies
    )
    with threadpool_limits(limits=1, user_api="blas"):
        eigenvalues = np.linalg.eigvalsh(whitened)[::-1]
    return np.array([float(f"{max(t, 0.0):.{_SIGNIFICANT_DIGITS}g}") for t in eigenvalues])


def reconstruction_of_nothing(
    images: NDArray[np.floating], mean: NDArray[np.float64], reconstruction_loss: str
) -> float:
    """Return R_0: R of ``images (n, d)`` where each is decoded to ``mean (d,)``, nats an image.

    ``mean`` is that of the training images. A loss that stays there has a decoder that draws the
    same image for everybody.
    """
    own_mean = images.mean(axis=0, dtype=np.float64)
    variance = images.var(axis=0, dtype=np.float64)
    return likelihood(reconstruction_loss).of_nothing(mean, own_mean, variance)


@dataclass(frozen=True)
class Direction:
    """The direction in which the images leave the collapsed solution first, that of t_1.

    ``skewness`` is that of the images along it; ``n_carrying`` how many images carry it, the
    effective number ``(sum s^2)^2 / sum s^4`` of their places s.
    """

    skewness: float
    n_carrying: float


def first_direction(
    images: NDArray[np.floating], moments: Moments, reconstruction_loss: str
) -> Direction:
    """Return what the training images are like along the direction of t_1."""
    kept = moments.varies
    kind = likelihood(reconstruction_loss)
    with threadpool_limits(limits=1, user_api="blas"):
        _, vectors = np.linalg.eigh(kind.whitened(moments.mean, moments.covariance, kept))
        axis = vectors[:, -1] / kind.variance(moments.mean[kept]) ** 0.5
        places = images[:, kept] @ axis - moments.mean[kept] @ axis
    squares = places**2
    return Direction(
        skewness=abs(float((places**3).mean() / squares.mean() ** 1.5)),
        n_carrying=float(squares.sum() ** 2 / (squares**2).sum()),
    )


def collapse_threshold(thresholds: NDArray[np.float64], noise_std: float = 1.0) -> float:
    """Return the ``beta_eff`` at and above which the collapsed solution is stable."""
    return float(thresholds[0]) / noise_std**2


def predicted_active_units(
    thresholds: NDArray[np.float64], beta_eff: float, k: int, noise_std: float = 1.0
) -> int:
    """Return ``min(k, #{t_j / noise_std^2 > beta_eff})``.

    Exact for a linear model with ``mse``, close near t_1, an upper bound far below it.
    """
    return min(k, int(np.sum(thresholds / noise_std**2 > beta_eff)))


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
    n_active = predicted_active_units(thresholds, beta_eff, k)
    return 0.5 * float(np.sum(np.log(thresholds[:n_active] / beta_eff)))


def linear_optimum(thresholds: NDArray[np.float64], beta_eff: float, k: int) -> LinearOptimum:
    """Return the optimum of a linear VAE with ``mse`` and unit noise (Gaussian water-filling).

    ``thresholds`` are those of ``mse``, t_j = 2 lambda_j. K = 1/2 sum_active ln(t_j/beta_eff),
    R = sum_inactive lambda_j + n_active * beta_eff/2. ``ValueError`` unless beta_eff is above 0.
    """
    if not beta_eff > 0:
        raise ValueError(f"`beta_eff` must be above 0, received {beta_eff}")
    n_active = predicted_active_units(thresholds, beta_eff, k)
    inactive = thresholds[n_active:]
    return LinearOptimum(
        active_units=n_active,
        kl=predicted_kl(thresholds, beta_eff, k),
        reconstruction=0.5 * float(inactive.sum()) + n_active * beta_eff / 2,
    )
