"""What the training images alone say about a VAE's optimum, before any training.

Let C be the covariance of the training images and V the one that the likelihood has where
every image is decoded to their mean. The thresholds are the eigenvalues of V^(-1/2) C V^(-1/2), by
a second-order expansion around the collapsed solution. For ``mse`` they are 2 * eigenvalues of C,
along the directions of probabilistic PCA (Tipping and Bishop 1999; Lucas et al. 2019, "Don't Blame
the ELBO!").
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from lossbench.errors import DataError
from lossbench.loss import Gaussian, Likelihood
from lossbench.settings import RunSettings
from lossbench.words import significant

_SIGNIFICANT_DIGITS = 6  # the last digits depend on the processor
_IMAGES_A_PRODUCT = 4096
_PRODUCTS_TO = 1e15  # the largest numbers of which float32 holds sums of products
_ACTIVE_SIGNAL = 0.02
_NO_VARIANCE = 1e-9  # of the largest: what is left of a direction in which nothing varies
_ACTIVE_NATS = 0.5 * math.log1p(_ACTIVE_SIGNAL)
_FEW = 30  # images that carry a direction
# Breast cancer's 1.1 has an active optimum at 1.1 t_1; patches' 0.5 none beyond 1.02.
_SKEWED = 1.0


@dataclass(frozen=True)
class LinearOptimum:
    """The optimum of a linear Gaussian VAE on its training split, nats per image.

    ``sigma`` is that of the decoder where it is learned.
    """

    active_units: int
    kl: float
    reconstruction: float
    sigma: float | None = None


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean ``(d,)`` and covariance ``(d, d)`` of the training images, and which pixels vary."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    varies: NDArray[np.bool_]


def moments(images: NDArray[np.floating]) -> Moments:
    """Return the moments of ``images (n, d)``; ``DataError`` if no pixel varies.

    Products are taken in float32 over a few thousand centred images (in float64 where they could
    overflow or vanish), and added in float64; on one thread, since how many share a product decides
    the order of its sums.
    """
    mean = images.mean(axis=0, dtype=np.float64)
    varies = (images != images[0]).any(axis=0)
    if not varies.any():
        raise DataError("every image is the same, so there is nothing to encode")
    d = images.shape[1]
    covariance = np.zeros((d, d))
    spread = float(images.max()) - float(images.min())
    product = np.float32 if 1 / _PRODUCTS_TO < spread < _PRODUCTS_TO else np.float64
    with threadpool_limits(limits=1, user_api="blas"):
        for start in range(0, len(images), _IMAGES_A_PRODUCT):
            centred = images[start : start + _IMAGES_A_PRODUCT] - mean.astype(product)
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
    return kind.reconstruction_of_nothing(images, train)


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
    """Return what the training images are like along the direction of t_1.

    None where no threshold is told, and where it is 0: counts whose shares never vary.
    """
    if kind.no_threshold:
        return None
    kept = kind.counted(moments.mean, moments.varies)
    with threadpool_limits(limits=1, user_api="blas"):
        whitened = kind.whitened(moments.mean, moments.covariance, moments.varies)
        _, vectors = np.linalg.eigh(whitened)
        variance = kind.variance(moments.mean, moments.covariance.diagonal())
        axis = vectors[:, -1] / variance[kept] ** 0.5
        places = kind.along(axis, images[:, kept], moments.mean[kept])
    squares = places**2
    if not squares.any():
        return None
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


def with_shared_sigma(thresholds: NDArray[np.float64], beta_eff: float, d: int, k: int) -> float:
    """Return the weight at which a model that learns sigma is as one with sigma given at its t_j.

    ``thresholds`` are lambda_j over the mean variance v. A model with sigma^2 = v at ``beta_eff``
    has its q active latents and KL where the learned sigma^2 has beta_eff' * sigma^2 / v =
    ``beta_eff``; with sigma^2 of ``shared_sigma_optimum`` that is
    beta_eff' = beta_eff * d / (sum_{j > q} t_j + q*beta_eff).
    """
    q = _n_active(thresholds, beta_eff, k)
    return beta_eff * d / (float(thresholds[q:].sum()) + q * beta_eff)


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


@dataclass(frozen=True)
class Expected:
    """What theory says of one setting; None where it says nothing.

    ``kl``, ``reconstruction`` (nats per image of the training split) and ``sigma`` hold for a
    linear model, which is exact for ``mse`` and ``gaussian``; for others they are guesses.
    ``is_unbounded`` is whether the objective has no minimum: a learned sigma runs to its floor.
    """

    active_units: int | None = None
    kl: float | None = None
    reconstruction: float | None = None
    sigma: float | None = None
    is_unbounded: bool = False


def expected(
    thresholds: NDArray[np.float64],
    moments: Moments,
    kind: Likelihood,
    beta_eff: float,
    k: int,
    noise_std: float,
) -> Expected:
    """Return what theory says of training ``a*R + b*K`` with ``b/a = beta_eff``."""
    if isinstance(kind, Gaussian) and kind.learns:
        return _with_learned_sigma(thresholds, moments, kind, beta_eff, k, noise_std)
    known = Expected(predicted_active_units(thresholds, beta_eff, k, noise_std))
    if not len(thresholds) or noise_std != 1 or beta_eff == 0:
        return known
    if not kind.has_linear_optimum:
        return Expected(known.active_units, predicted_kl(thresholds, beta_eff, k))
    best = linear_optimum(thresholds, beta_eff, k, kind.without_error(len(moments.mean)))
    return Expected(best.active_units, best.kl, best.reconstruction)


def _with_learned_sigma(
    thresholds: NDArray[np.float64],
    moments: Moments,
    kind: Likelihood,
    beta_eff: float,
    k: int,
    noise_std: float,
) -> Expected:
    spread, d = moments.covariance.diagonal(), len(moments.mean)
    collapses = beta_eff >= thresholds[0] / noise_std**2
    if kind.learns == "learned_per_input":  # an active optimum may stand beside a stable collapse
        return Expected(is_unbounded=beta_eff < 1)
    if noise_std != 1 or beta_eff == 0:
        return Expected(0 if collapses else None)
    best = shared_sigma_optimum(thresholds, float(spread.mean()), d, beta_eff, k)
    if best is None:
        return Expected(is_unbounded=True)
    return Expected(best.active_units, best.kl, best.reconstruction, best.sigma)


def shared_sigma_optimum(
    thresholds: NDArray[np.float64], variance: float, d: int, beta_eff: float, k: int
) -> LinearOptimum | None:
    """Return the optimum of a linear Gaussian VAE that learns one sigma, with unit noise.

    ``thresholds`` are t_j = lambda_j / ``variance``, the mean variance of the d inputs. With q
    active latents sigma^2 = sum_{j > q} lambda_j / (d - q*beta_eff), and active are those with
    lambda_j > beta_eff*sigma^2: of the q <= k that agree the one with the least objective counts.
    None where the objective has no minimum: where the latents carry all in which the data varies,
    sigma runs to 0. ``ValueError`` unless beta_eff is above 0.
    """
    if not beta_eff > 0:
        raise ValueError(f"`beta_eff` must be above 0, received {beta_eff}")
    t = thresholds[thresholds > _NO_VARIANCE * thresholds[0]]
    if k >= len(t) and len(t) * beta_eff <= d:
        return None
    found = []
    for q in range(min(k, len(t)) + 1):
        weight = d - q * beta_eff
        if weight <= 0 or not t[q:].sum() > 0:
            break
        share = float(t[q:].sum()) / weight  # sigma^2 in units of the variance
        if (q and t[q - 1] <= beta_eff * share) or (q < min(k, len(t)) and t[q] > beta_eff * share):
            continue
        kl = predicted_kl(t / share, beta_eff, q)
        reconstruction = 0.5 * d * (1 + math.log(2 * math.pi * share * variance))
        sigma = math.sqrt(share * variance)
        found.append(LinearOptimum(q, kl, reconstruction, sigma))
    return min(found, key=lambda each: each.reconstruction + beta_eff * each.kl, default=None)


@dataclass(frozen=True)
class Outlook:
    """What theory says of one run before it is trained; None where nothing is told.

    ``final_beta_eff`` is beta_eff * w at the last step, ``threshold`` what it is held against.
    """

    final_beta_eff: float
    threshold: float | None
    best: Expected


def outlook(
    run: RunSettings, thresholds: NDArray[np.float64], moments: Moments, n_images: int
) -> Outlook:
    """Return what its data says of a run on ``n_images`` training images.

    With a floor or a capacity the collapsed solution is never an optimum, so no threshold is told.
    Up to the free nats of KL R falls at no price, above them at that of the constant weight: at the
    optimum K = max(free, K of the constant weight). A floor under each latent has all of them
    active: on digits with k = 8 all eight were at f = 0.05, linear or not, where the constant
    weight of the same KL has three. With a learned sigma beside a floor nothing is told, nor of a
    function of the user's own that is trained itself (then ``final_beta_eff`` is NaN), or of a
    network that the thresholds do not hold for.
    """
    kind, held = run.likelihood, run.final_beta_eff(n_images)
    if run.function or (run.built and run.built.untold):
        return Outlook(held, None, Expected())
    if not run.is_bounded or not held:
        threshold = None if run.is_bounded else collapse_threshold(thresholds, run.noise_std)
        best = expected(thresholds, moments, kind, held, run.k, run.noise_std)
        return Outlook(held, threshold, best)
    if run.noise_std != 1 or not len(thresholds) or (isinstance(kind, Gaussian) and kind.learns):
        return Outlook(held, None, Expected())
    bound = run.last_bound(n_images)
    same = beta_eff_of_kl(thresholds, run.kl_form.free(bound, run.k), run.k)
    best = expected(thresholds, moments, kind, min(held, same), run.k, run.noise_std)
    if run.kl_form.is_of_each and bound > _ACTIVE_NATS:
        best = replace(best, active_units=predicted_active_units(thresholds, 0, run.k))
    return Outlook(held, None, best)
